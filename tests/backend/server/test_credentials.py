"""Tokens and certificates that are replaced while agents send and people ask."""

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from agent.export.assembler import Batch
from agent.export.transport import GrpcTransport, Outcome
from backend.server import credentials as module
from backend.server.access_logs import AccessLogService
from backend.server.credentials import Credentials
from backend.server.reloading import Outcome as ReloadOutcome
from backend.server.reloading import Reloader
from backend.server.serving import listen, serving
from backend.server.settings import Settings, SettingsError, Tls
from common.grpc.security import Security
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.processes import Process, backend
from tests.backend.server.support import Collecting, application_of
from tests.common.kubernetes.certificates import Identity, make_identity
from tests.waiting import PATIENCE, until

PEOPLE = "of people"
NAMES = "DNS:localhost,IP:127.0.0.1"


class Shown:
    """The pair of files of a port, and the identities that it may have."""

    def __init__(self, folder: Path) -> None:
        self.identities = [make_identity(folder, f"server{number}", NAMES) for number in range(2)]
        self.key, self.certificate = folder / "tls.key", folder / "tls.crt"
        self.write(0)

    def write(self, number: int) -> None:
        self.pair(self.identities[number].key, self.identities[number].certificate)

    def pair(self, key: Path, certificate: Path) -> None:
        for target, source in ((self.key, key), (self.certificate, certificate)):
            new = target.with_suffix(".new")
            new.write_bytes(source.read_bytes())
            new.rename(target)

    @property
    def tls(self) -> Tls:
        return Tls(enabled=True, certificate=str(self.certificate), key=str(self.key))

    @property
    def authorities(self) -> bytes:
        """Those of both."""
        return b"".join(each.certificate.read_bytes() for each in self.identities)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path)


def certificate_of(port: int) -> str:
    """What a port shows to a new connection, as PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as connected,
        context.wrap_socket(connected) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
        assert der is not None
        return ssl.DER_cert_to_PEM_cert(der)


def is_shown(port: int, identity: Identity) -> bool:
    """Whether a new connection is shown this one. It may also be ended by a server that is going, and shown none."""
    expected = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(identity.certificate.read_text()))
    try:
        return certificate_of(port) == expected
    except OSError:
        return False


def until_shown(port: int, identity: Identity) -> None:
    """Wait: for a moment the server that was there before accepts as well."""
    until(lambda: is_shown(port, identity), "the new certificate is shown")


@contextmanager
def sending(port: int, authorities: bytes, token: Callable[[], str] = lambda: "") -> Iterator[list[str]]:
    """Send one batch after the other meanwhile, as an agent does, and make a new connection for every tenth."""
    taken: list[str] = []
    problems: list[str] = []
    ending = threading.Event()
    security = Security(authorities)

    def send() -> None:
        batch = Batch([message(read_log(), node="n", remote="a").SerializeToString()], 1)
        transport = GrpcTransport(f"127.0.0.1:{port}", security)
        while not ending.is_set():
            transport.backends.metadata = (("authentication", token()),)
            attempt = transport.send(batch, PATIENCE)
            if attempt.outcome is Outcome.DELIVERED:
                taken.append(batch.id)
                batch = Batch(batch.messages, 1)
            elif attempt.outcome in {Outcome.REFUSED, Outcome.DENIED}:
                problems.append(attempt.detail)
                batch = Batch(batch.messages, 1)
            if attempt.outcome is not Outcome.RETRY and (len(taken) % 10 == 0):
                transport.close()
                transport = GrpcTransport(f"127.0.0.1:{port}", security)
        transport.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield taken
    finally:
        ending.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert problems == []


async def test_a_certificate_is_replaced_while_batches_come(shown: Shown) -> None:
    """No connection is refused and no batch is lost or stored twice, however often it happens."""
    sink = Collecting()
    listener = listen("127.0.0.1", 0, "")
    async with serving(application_of(AccessLogService(sink)), [listener], 1.0, shown.tls) as served:

        def work() -> int:
            with sending(listener.port, shown.authorities) as taken:
                for turn in range(1, 4):
                    before = len(taken)
                    until(lambda before=before: len(taken) >= before + 10, "batches are taken")  # type: ignore[misc] # bound now
                    shown.write(turn % 2)
                    asyncio.run_coroutine_threadsafe(served.renew(), loop).result(PATIENCE)
                    until_shown(listener.port, shown.identities[turn % 2])
            return len(taken)

        loop = asyncio.get_running_loop()
        taken = await asyncio.to_thread(work)
    assert taken >= 30
    assert sink.logs == taken


async def test_a_pair_that_cannot_be_used_leaves_the_old_one(
    shown: Shown, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)
    caplog.set_level(logging.INFO)
    registry = CollectorRegistry()
    listener = listen("127.0.0.1", 0, "")
    credentials = Credentials(Settings(grpc_tls=shown.tls))
    async with serving(application_of(AccessLogService(Collecting())), [listener], 5.0, shown.tls) as served:
        reloader = Reloader(credentials.parts({"grpc_tls": served}), registry)
        same = await reloader.reload()
        assert [(each.part, each.detail) for each in same.parts] == [("grpc_tls", "the files are as they were")]
        async with credentials.watched(reloader):

            def count(outcome: ReloadOutcome) -> float:
                labels = {"part": "grpc_tls", "outcome": outcome}
                return registry.get_sample_value("pyrover_backend_reloads_total", labels) or 0.0

            shown.pair(shown.identities[0].key, shown.identities[1].certificate)
            await asyncio.to_thread(until, lambda: count(ReloadOutcome.REFUSED) >= 1, "somebody has looked")
            assert await asyncio.to_thread(is_shown, listener.port, shown.identities[0])
            shown.write(1)
            await asyncio.to_thread(until, lambda: count(ReloadOutcome.REPLACED) >= 2, "somebody has looked")
            await asyncio.to_thread(until_shown, listener.port, shown.identities[1])
    refused = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert refused
    assert refused[0].startswith(
        f"reload: grpc_tls refused, the old ones stay: grpc_tls.certificate is '{shown.tls.certificate}'"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "a", "token_file": "{file}"}, "token and token_file are both set; leave one"),
        ({"http_token": "a", "http_token_file": "{file}"}, "http_token and http_token_file are both set; leave one"),
        ({"token_file": "/no/such"}, "token_file: /no/such cannot be read: No such file or directory"),
        ({"http_token_file": "{empty}"}, "http_token_file: {empty} holds no token; write one into it"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    files = {"file": tmp_path / "file", "empty": tmp_path / "empty"}
    files["file"].write_text("sesame")
    files["empty"].write_text("\n")
    with pytest.raises(SettingsError) as caught:
        Credentials(Settings(**{name: value.format(**files) for name, value in settings.items()}))  # type: ignore[arg-type] # texts
    assert str(caught.value).startswith(message.format(**files))


def test_a_whole_backend_whose_tokens_and_certificates_are_replaced(shown: Shown, tmp_path: Path) -> None:
    """As an operator does it: both tokens for a while, then the new one alone; and a new certificate, by SIGHUP."""
    tokens, asked = tmp_path / "tokens", tmp_path / "asked"
    tokens.write_text("first\n")
    asked.write_text(f"{PEOPLE}\n")
    environment = {
        "PYROVER_BACKEND_TOKEN_FILE": str(tokens),
        "PYROVER_BACKEND_HTTP_TOKEN_FILE": str(asked),
        **{
            f"PYROVER_BACKEND_{port}_TLS_{name}": value
            for port in ("GRPC", "HTTP")
            for name, value in (
                ("ENABLED", "true"),
                ("CERTIFICATE", str(shown.certificate)),
                ("KEY", str(shown.key)),
            )
        },
    }
    with backend(tmp_path / "data", environment=environment) as (process, addresses):
        grpc_port = int(addresses["grpc"].rpartition(":")[2])
        http_port = int(addresses["http"].rpartition(":")[2])
        context = ssl.create_default_context(cadata=shown.authorities.decode())

        def ask(token: str) -> httpx.Response:
            """Ask, on another connection when one ended, with the server that it was of, before it had a request."""
            headers = {"Authorization": f"Bearer {token}"}
            for _ in range(100):
                with (
                    suppress(httpx.RemoteProtocolError, httpx.ReadError, httpx.ConnectError),
                    httpx.Client(verify=context, timeout=PATIENCE) as asking,
                ):
                    return asking.get(f"{addresses['http']}/metrics", headers=headers)
            raise AssertionError("no connection is answered")

        def reloaded(part: str, token: str = PEOPLE) -> float:
            lines = ask(token).text.splitlines()
            name = f'pyrover_backend_reloads_total{{outcome="replaced",part="{part}"}} '
            return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

        def reload(process: Process, part: str, token: str = PEOPLE) -> None:
            before = reloaded(part)
            process.send_signal(signal.SIGHUP)
            until(lambda: ask(token).status_code == 200 and reloaded(part, token) > before, f"{part} is read")

        current = "first"
        with sending(grpc_port, shown.authorities, lambda: current) as taken:

            def go_on() -> None:
                before = len(taken)
                until(lambda: len(taken) >= before + 10, "batches are taken")

            go_on()
            tokens.write_text("first\nsecond\n")
            reload(process, "token")
            current = "second"
            go_on()
            tokens.write_text("second\n")
            shown.write(1)
            reload(process, "http_tls")
            until_shown(grpc_port, shown.identities[1])
            until_shown(http_port, shown.identities[1])
            go_on()
        asked.write_text("of other people\n")
        reload(process, "http_token", "of other people")
        assert ask(PEOPLE).status_code == 401
        with sending(grpc_port, shown.authorities, lambda: "second") as taken:
            until(lambda: len(taken) >= 1, "batches are taken")
        transport = GrpcTransport(f"127.0.0.1:{grpc_port}", Security(shown.authorities), "first")
        attempt = transport.send(Batch([b""], 0), PATIENCE)
        assert attempt.outcome is Outcome.DENIED
        assert attempt.detail.startswith("PERMISSION_DENIED")
        transport.close()
        process.terminate()
        assert process.wait(PATIENCE) == 0
