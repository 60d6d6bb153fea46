"""Ports that are encrypted, and peers that are asked for a certificate."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from backend.server.access_logs import AccessLogService
from backend.server.ports import Ports
from backend.server.serving import Listener, listen, serving
from backend.server.settings import Settings, SettingsError, Tls
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.processes import backend
from tests.backend.server.support import Collecting, application_of
from tests.common.kubernetes.certificates import Identity, make_identity
from tests.waiting import PATIENCE

BROKEN = (httpx.TransportError, ssl.SSLError)  # an alert may come before or after the request is sent
Channel = Callable[[str], grpc.Channel]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Identity:
    return make_identity(folder, "server", "DNS:localhost,IP:127.0.0.1")


def signed(folder: Path, name: str, authority: Identity) -> Identity:
    """A certificate that somebody else vouches for. One that vouches for itself is an authority, and no peer's."""
    made = Identity(folder / f"{name}.key", folder / f"{name}.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    files = ["-keyout", str(made.key), "-out", str(made.certificate), "-subj", f"/CN={name}"]
    extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"subjectAltName=DNS:{name}"]
    vouched = ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
    subprocess.run([*command.split(), *files, *extensions, *vouched], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def authority(folder: Path) -> Identity:
    return make_identity(folder, "authority")


@pytest.fixture(scope="module")
def agent(folder: Path, authority: Identity) -> Identity:
    return signed(folder, "agent", authority)


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Identity:
    return signed(folder, "stranger", make_identity(folder, "other"))


def tls(server: Identity, authority: Identity | None = None) -> Tls:
    asked = str(authority.certificate) if authority else ""
    return Tls(enabled=True, certificate=str(server.certificate), key=str(server.key), authorities=asked)


def channel(server: Identity, own: Identity | None = None) -> Channel:
    key, certificate = (own.key.read_bytes(), own.certificate.read_bytes()) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(server.certificate.read_bytes(), key, certificate)
    return lambda address: grpc.secure_channel(address, credentials)


def client(server: Identity, own: Identity | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.certificate))
    if own:
        context.load_cert_chain(own.certificate, own.key)
    return context


@asynccontextmanager
async def receiver(encrypted: Tls) -> AsyncIterator[tuple[Listener, Collecting]]:
    sink = Collecting()
    listener = listen("127.0.0.1", 0, "")
    async with serving(application_of(AccessLogService(sink)), [listener], 5.0, encrypted):
        yield listener, sink


async def send(address: str, opened: Channel, authentication: str = "") -> grpc.StatusCode:
    def call() -> grpc.StatusCode:
        with opened(address) as connected:
            metadata = (("authentication", authentication),) if authentication else ()
            collect = EBPFAccessLogServiceStub(connected).collect
            try:
                collect(iter([message(read_log(), node="n", remote="a")]), timeout=120, metadata=metadata)
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
            return grpc.StatusCode.OK

    return await asyncio.to_thread(call)


async def test_an_encrypted_port_takes_logs_and_answers_questions(server: Identity) -> None:
    async with receiver(tls(server)) as (listener, sink):
        assert await send(listener.authority, channel(server)) is grpc.StatusCode.OK
        async with httpx.AsyncClient(verify=client(server), timeout=PATIENCE) as asking:
            assert (await asking.get(f"https://{listener.authority}/healthcheck")).status_code == 200
    assert sink.logs == 1


async def test_an_encrypted_port_says_nothing_in_plain_text(server: Identity) -> None:
    async with receiver(tls(server)) as (listener, sink):
        assert await send(listener.authority, grpc.insecure_channel) is grpc.StatusCode.UNAVAILABLE
        async with httpx.AsyncClient(timeout=PATIENCE) as asking:
            with pytest.raises(BROKEN):
                await asking.get(f"http://{listener.authority}/healthcheck")
    assert sink.logs == 0


async def test_of_agents_with_certificates_only_known_ones_are_served(
    server: Identity, authority: Identity, agent: Identity, stranger: Identity
) -> None:
    async with receiver(tls(server, authority)) as (listener, sink):
        assert await send(listener.authority, channel(server, agent)) is grpc.StatusCode.OK
        for unknown in (channel(server), channel(server, stranger), grpc.insecure_channel):
            assert await send(listener.authority, unknown) is grpc.StatusCode.UNAVAILABLE
        for own in (None, stranger):
            async with httpx.AsyncClient(verify=client(server, own), timeout=PATIENCE) as asking:
                with pytest.raises(BROKEN):
                    await asking.get(f"https://{listener.authority}/healthcheck")
    assert sink.logs == 1


def test_the_whole_backend_with_mutual_tls_and_tokens(
    server: Identity, authority: Identity, agent: Identity, stranger: Identity, tmp_path: Path
) -> None:
    files = {"ENABLED": "true", "CERTIFICATE": str(server.certificate), "KEY": str(server.key)}
    environment = {
        f"PYROVER_BACKEND_{port}_TLS_{name}": value for port in ("GRPC", "HTTP") for name, value in files.items()
    }
    environment |= {
        "SW_RECEIVER_GRPC_SSL_TRUSTED_CAS_PATH": str(authority.certificate),
        "SW_AUTHENTICATION": "of agents",
        "PYROVER_BACKEND_HTTP_TOKEN": "of people",
    }

    async def check(addresses: dict[str, str]) -> None:
        agents, console = addresses["grpc"], addresses["http"].removeprefix("https://")
        assert addresses["http"].startswith("https://")
        known = channel(server, agent)
        assert await send(agents, known, "of agents") is grpc.StatusCode.OK
        assert await send(agents, known) is grpc.StatusCode.PERMISSION_DENIED
        assert await send(agents, known, "of people") is grpc.StatusCode.PERMISSION_DENIED
        assert await send(agents, channel(server, stranger), "of agents") is grpc.StatusCode.UNAVAILABLE
        # The console's port asks for no certificate, and so takes no agents.
        assert await send(console, channel(server), "of agents") is grpc.StatusCode.PERMISSION_DENIED
        async with httpx.AsyncClient(verify=client(server), base_url=addresses["http"], timeout=PATIENCE) as asking:
            statuses = []
            for token in ("of people", "of agents", ""):
                headers = {"authorization": f"Bearer {token}"} if token else {}
                statuses.append((await asking.get("/api/status", headers=headers)).status_code)
            assert statuses == [200, 401, 401]
            assert (await asking.get("/healthcheck")).status_code == 200
            reload = asking.post("/api/reload", headers={"authorization": "Bearer of people"})
            assert (await reload).status_code == 200

    with backend(tmp_path / "data", environment=environment) as (_, addresses):
        asyncio.run(check(addresses))


def wrong(one: Tls) -> str:
    with pytest.raises(SettingsError) as caught:
        Ports.listen(Settings(host="127.0.0.1", grpc_port=0, http_port=0, grpc_tls=one))
    return str(caught.value)


def test_what_is_wrong_is_refused_at_the_start(server: Identity, agent: Identity, tmp_path: Path) -> None:
    certificate, key = str(server.certificate), str(server.key)
    assert "grpc_tls.enabled is set and grpc_tls.key is empty" in wrong(Tls(enabled=True, certificate=certificate))
    assert "grpc_tls.certificate is empty" in wrong(Tls(enabled=True, key=key))
    assert "No such file" in wrong(Tls(enabled=True, certificate="/nowhere", key=key))
    other = wrong(Tls(enabled=True, certificate=certificate, key=str(agent.key)))
    assert "KEY_VALUES_MISMATCH" in other
    assert "must be a chain of certificates and the key of its first" in other
    (tmp_path / "empty").touch()
    authorities = wrong(Tls(enabled=True, certificate=certificate, key=key, authorities=str(tmp_path / "empty")))
    assert f"grpc_tls.authorities is '{tmp_path}/empty'" in authorities
    off = wrong(Tls(authorities=str(agent.certificate)))
    assert "nobody would be asked for a certificate; switch grpc_tls.enabled on as well" in off


def test_a_key_with_a_password_is_refused_and_no_password_asked_for(server: Identity, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:sesame", "-in", str(server.key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    told = wrong(Tls(enabled=True, certificate=str(server.certificate), key=str(locked)))
    assert "the key without a password" in told
