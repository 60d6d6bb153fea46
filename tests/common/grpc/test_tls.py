"""TLS: who is trusted, and what is said when somebody is not."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from common.grpc.answers import Answer
from common.grpc.security import Security
from common.grpc.status import Status
from common.grpc.tls import make_context
from tests.agent.export.collector import Collector
from tests.common.grpc.calling import SHORT, call, client
from tests.common.grpc.passing_time import pass_time_only_while
from tests.common.grpc.peer import Peer, Peers, greeted
from tests.waiting import PATIENCE

NAMES = "DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Identity:
    key: Path
    certificate: Path

    @property
    def pem(self) -> bytes:
        return self.certificate.read_bytes()


def make(folder: Path, name: str, names: str, *signed: str | Path) -> Identity:
    made = Identity(folder / f"{name}.key", folder / f"{name}.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    files: list[str | Path] = ["-keyout", made.key, "-out", made.certificate, "-subj", f"/CN={name}"]
    extensions = ["-addext", f"subjectAltName={names}"]
    subprocess.run([*command.split(), *files, *extensions, *signed], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Identity:
    return make(folder, "server", NAMES)


@pytest.fixture(scope="module")
def agent(folder: Path) -> Identity:
    return make(folder, "agent", "DNS:agent")


def context(server: Identity, *protocols: str) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(server.certificate, server.key)
    if protocols:
        made.set_alpn_protocols(protocols)
    return made


def ask(peers: Peers, security: Security | None, host: str = "127.0.0.1", body: bytes = b"x" * 5) -> Answer:
    with peers.listen() as port, client(port, host, security) as opened:
        answer = call(opened, (body,))
    assert str(port) in answer.message or answer.status is Status.OK
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_sent_arrives(server: Identity, version: ssl.TLSVersion, host: str) -> None:
    offered = context(server, "h2")
    offered.maximum_version = version
    names = []
    offered.sni_callback = lambda _socket, name, _context: names.append(name)
    peers = Peers(greeted(Peer.serve), context=offered)
    body = bytes(range(256)) * 10_000
    assert ask(peers, Security(server.pem), host, body).status is Status.OK
    assert bytes(peers.connections[0].requests[1].body) == body
    assert peers.connections[0].requests[1].headers[":scheme"] == "https"
    assert names == [None if host == "127.0.0.1" else host]  # a number is no name (RFC 6066, section 3)


def test_an_unknown_authority_is_not_trusted(server: Identity) -> None:
    answer = ask(Peers(greeted(Peer.serve), context=context(server, "h2")), Security())
    assert answer.status is Status.UNAVAILABLE
    assert answer.message.endswith(": its certificate does not fit: self-signed certificate")


def test_a_certificate_for_another_name_is_not_trusted(folder: Path) -> None:
    other = make(folder, "other", "DNS:other.example")
    answer = ask(Peers(greeted(Peer.serve), context=context(other, "h2")), Security(other.pem))
    assert answer.status is Status.UNAVAILABLE
    assert "its certificate does not fit: IP address mismatch" in answer.message


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
def test_a_server_without_http_2_is_named(server: Identity, protocols: tuple[str, ...]) -> None:
    answer = ask(Peers(greeted(Peer.serve), context=context(server, *protocols)), Security(server.pem))
    assert answer.status is Status.UNAVAILABLE
    assert answer.message.endswith(": it does not offer HTTP/2 in TLS (ALPN h2)")


def test_a_server_without_tls_is_named(server: Identity) -> None:
    answer = ask(Peers(lambda peer: peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")), Security(server.pem))
    assert answer.status is Status.UNAVAILABLE
    assert ": no TLS with it: " in answer.message


def test_a_server_with_tls_that_is_asked_without(server: Identity) -> None:
    answer = ask(Peers(greeted(Peer.serve), context=context(server, "h2")), None)
    assert answer.status is Status.UNAVAILABLE


def test_a_handshake_that_is_not_answered_ends_at_the_deadline(
    server: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time_only_while(monkeypatch, "shaking hands")

    def play(peer: Peer) -> None:
        while peer.socket.recv(65_536):
            pass

    with Peers(play).listen() as port, client(port, security=Security(server.pem)) as opened:
        answer = call(opened, timeout=SHORT)
    assert answer.status is Status.DEADLINE_EXCEEDED
    assert answer.message == f"{SHORT:g} s are over while shaking hands with 127.0.0.1:{port}"


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_asks_who_the_client_is(server: Identity, agent: Identity, *, known: bool) -> None:
    pair = (server.key.read_bytes(), server.pem)
    credentials = grpc.ssl_server_credentials([pair], agent.pem, require_client_auth=True)
    security = Security(server.pem, agent.key.read_bytes(), agent.pem) if known else Security(server.pem)
    collector = Collector()
    with collector.serve(credentials=credentials) as port, client(port, security=security) as opened:
        path = "/skywalking.v3.EBPFAccessLogService/collect"
        answer = opened.call(path, (("pyrover-batch-id", "1"),), (b"\0\0\0\0\1x",), PATIENCE)
    assert answer.status is (Status.OK if known else Status.UNAVAILABLE)
    assert collector.accepted == ({"1": [b"x"]} if known else {})


@pytest.mark.parametrize(
    ("roots", "key", "chain", "message"),
    [
        (b"", None, None, "the certificates of the authorities cannot be used"),
        (b"garbage", None, None, "the certificates of the authorities cannot be used"),
        (b"\xff\xfe", None, None, "the certificates of the authorities cannot be used"),
        (None, b"garbage", b"garbage", "the client's certificate and key cannot be used"),
        (None, b"garbage", None, "of use only together"),
        (None, None, b"garbage", "of use only together"),
    ],
)
def test_what_cannot_be_used_is_named(
    roots: bytes | None, key: bytes | None, chain: bytes | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_context(Security(roots, key, chain))


def test_a_key_of_another_certificate_or_behind_a_password_is_named(
    server: Identity, agent: Identity, folder: Path
) -> None:
    with pytest.raises(ValueError, match="the client's certificate and key cannot be used"):
        make_context(Security(None, server.key.read_bytes(), agent.pem))
    locked = folder / "locked.key"
    command: list[str | Path] = [
        "openssl",
        "ec",
        "-in",
        agent.key,
        "-aes256",
        "-passout",
        "pass:secret",
        "-out",
        locked,
    ]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ValueError, match="the client's certificate and key cannot be used"):
        make_context(Security(None, locked.read_bytes(), agent.pem))
