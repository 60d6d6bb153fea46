"""The configured backend as a transport, what is wrong with it, and what it is shown, replaced while batches go."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from agent.commands import credentials as module
from agent.commands.credentials import Credentials
from agent.config import Backend
from agent.config_reading import ConfigurationError
from agent.export.assembler import Batch
from agent.export.transport import GrpcTransport, Outcome
from common.secret_files import CHECK_SECONDS
from tests.agent.export.collector import Collector
from tests.common.kubernetes.certificates import Identity, make_identity
from tests.ports import free_ports
from tests.waiting import PATIENCE, until


def renew(credentials: Credentials) -> None:
    """As at SIGHUP."""
    credentials.ask()
    credentials.refresh()


def test_a_backend_in_plain_text_is_not_asked_for_before_there_is_a_batch() -> None:
    Credentials(Backend(addr="no-such-name.invalid:11800", authentication="secret")).open_transport().close()


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (Backend(addr="backend"), "core.backend: 'backend' is not HOST:PORT, such as "),
        (Backend(authentication="ä"), "core.backend: the authentication must be printable ASCII"),
        (Backend(authentication="a\r\nb"), "core.backend: the authentication must be printable ASCII"),
        (Backend(enable_TLS=True, ca_pem_path="/no/such/file"), "core.backend: /no/such/file cannot be read: No such"),
        (Backend(enable_TLS=True, ca_pem_path="{garbage}"), "core.backend: the certificates of the authorities cannot"),
        (Backend(enable_TLS=True, client_pem_path="{garbage}"), "core.backend: a client's certificate and its key are"),
    ],
)
def test_what_cannot_be_used_is_named(backend: Backend, message: str, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"garbage")
    settings = {name: getattr(backend, name) for name in backend.__struct_fields__}
    paths = {name: value.format(garbage=garbage) for name, value in settings.items() if name.endswith("_path")}
    with pytest.raises(ConfigurationError) as caught:
        Credentials(Backend(**settings | paths)).open_transport()
    assert str(caught.value).startswith(message)


def test_a_token_is_given_in_one_way(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("sesame")
    with pytest.raises(ConfigurationError, match="authentication and authentication_file are both set; leave one"):
        Credentials(Backend(authentication="sesame", authentication_file=str(token)))
    with pytest.raises(ConfigurationError, match=r"^core\.backend: /no/such/token cannot be read: No such file"):
        Credentials(Backend(authentication_file="/no/such/token"))


class Files:
    """The files of an agent: an authority, a pair of its own and a token, of a generation."""

    def __init__(self, folder: Path) -> None:
        self.server = [make_identity(folder, f"server{number}", "IP:127.0.0.1") for number in range(2)]
        self.agent = [make_identity(folder, f"agent{number}", "DNS:agent") for number in range(2)]
        self._folder = folder

    def write(self, generation: int) -> None:
        """Replace what the agent reads."""
        for name, content in (
            ("ca", self.server[generation].certificate.read_bytes()),
            ("key", self.agent[generation].key.read_bytes()),
            ("certificate", self.agent[generation].certificate.read_bytes()),
            ("token", f"token {generation}\n".encode()),
        ):
            new = self._folder / f"{name}.new"
            new.write_bytes(content)
            new.rename(self._folder / name)

    def damage(self) -> None:
        """Leave a key that belongs to no certificate."""
        (self._folder / "key").write_bytes(self.server[0].key.read_bytes())

    def backend(self, port: int) -> Backend:
        return Backend(
            addr=f"127.0.0.1:{port}",
            enable_TLS=True,
            ca_pem_path=str(self._folder / "ca"),
            client_key_path=str(self._folder / "key"),
            client_pem_path=str(self._folder / "certificate"),
            authentication_file=str(self._folder / "token"),
        )

    def asked_for(self, generation: int) -> grpc.ServerCredentials:
        server: Identity = self.server[generation]
        pair = (server.key.read_bytes(), server.certificate.read_bytes())
        agent = self.agent[generation].certificate.read_bytes()
        return grpc.ssl_server_credentials([pair], agent, require_client_auth=True)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.write(0)
    return made


@contextmanager
def sending(transport: GrpcTransport) -> Iterator[list[str]]:
    """Send one batch after the other meanwhile, each until it is taken; the ids of those that are."""
    taken: list[str] = []
    refused: list[str] = []
    ending = threading.Event()

    def send() -> None:
        batch = Batch([b"x"], 1)
        while not ending.is_set():
            attempt = transport.send(batch, PATIENCE)
            if attempt.outcome is Outcome.DELIVERED:
                taken.append(batch.id)
                batch = Batch([b"x"], 1)
            elif attempt.outcome in {Outcome.REFUSED, Outcome.DENIED}:
                refused.append(attempt.detail)
                batch = Batch([b"x"], 1)
            else:
                ending.wait(0.01)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield taken
    finally:
        ending.set()
        transport.cancel()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert refused == []


def test_certificates_and_token_are_replaced_while_batches_are_sent(files: Files) -> None:
    collector = Collector()
    (port,) = free_ports(1)
    with collector.serve(port, files.asked_for(0)):
        credentials = Credentials(files.backend(port))
        transport = credentials.open_transport()
        with sending(transport) as taken:
            collector.wait(lambda: len(collector.accepted) >= 20, PATIENCE)
            files.write(1)
            renew(credentials)
            # The connection that there is goes on, with the new token.
            collector.wait(lambda: collector.metadata[-1]["authentication"] == "token 1", PATIENCE)
            assert sum(transport.backends.connections.values()) == 1
    # The server comes back with another certificate, asking for another one.
    with collector.serve(port, files.asked_for(1)), sending(transport) as more:
        before = len(collector.accepted)
        collector.wait(lambda: len(collector.accepted) >= before + 20, PATIENCE)
    transport.close()
    assert taken
    assert more
    assert {each["authentication"] for each in collector.metadata} == {"token 0", "token 1"}
    assert {*taken, *more} <= set(collector.accepted)


def test_twins_have_what_is_new(files: Files) -> None:
    """One of before, and one that is made later."""
    collector = Collector()
    with collector.serve(credentials=files.asked_for(1)) as port:
        credentials = Credentials(files.backend(port))
        transport = credentials.open_transport()
        before = transport.twin()
        files.write(1)
        renew(credentials)
        for each in (before, transport.twin(), before.twin(), transport):
            assert each.send(Batch([b"x"], 1), PATIENCE).outcome is Outcome.DELIVERED
        assert sum(transport.backends.connections.values()) == 4
        transport.close()
    assert [each["authentication"] for each in collector.metadata] == ["token 1"] * 4


def test_a_server_that_is_replaced_first_waits_for_the_agent(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.0)
    collector = Collector()
    with collector.serve(credentials=files.asked_for(1)) as port:
        credentials = Credentials(files.backend(port))
        transport = credentials.open_transport()
        with sending(transport) as taken:
            credentials.refresh()
            files.write(1)

            def is_taken() -> bool:
                credentials.refresh()
                return bool(taken)

            until(is_taken, "something is taken after the files were replaced")
    transport.close()
    assert {each["authentication"] for each in collector.metadata} == {"token 1"}


def test_what_is_wrong_is_told_once_and_the_old_stays(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    collector = Collector()
    with collector.serve(credentials=files.asked_for(0)) as port:
        credentials = Credentials(files.backend(port))
        transport = credentials.open_transport()
        files.damage()
        renew(credentials)
        assert transport.send(Batch([b"x"], 1), PATIENCE).outcome is Outcome.DELIVERED
        renew(credentials)
        files.write(0)
        renew(credentials)
        assert transport.send(Batch([b"x"], 1), PATIENCE).outcome is Outcome.DELIVERED
        later = credentials.open_transport()  # of the same files
        assert later.send(Batch([b"x"], 1), PATIENCE).outcome is Outcome.DELIVERED
    transport.close()
    later.close()
    wrong = "core.backend: what has changed cannot be used, the old stays: the client's certificate and key cannot be"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "INFO"]
    assert caplog.messages[0].startswith(wrong)
    assert caplog.messages[1:] == [
        "core.backend: the certificates and the token are as they were",
        "core.backend: certificates and token renewed (1), for new connections and calls",
    ]


def test_files_are_looked_at_when_it_is_time_to(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    credentials = Credentials(files.backend(1))
    client = credentials.open_client()
    files.write(1)
    now += CHECK_SECONDS - 0.1
    credentials.refresh()
    assert client.metadata == (("authentication", "token 0"),)
    now += 0.1
    credentials.refresh()
    assert client.metadata == (("authentication", "token 1"),)
    client.close()
