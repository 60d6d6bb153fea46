"""Secrets as the manifests mount them: what they hold is what the programs ask for, and who gets what."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from agent.commands.credentials import Credentials as AgentCredentials
from agent.config_loading import load_configuration
from agent.export.assembler import Batch
from agent.export.transport import Outcome
from backend.server.access_logs import AccessLogService
from backend.server.credentials import Credentials
from backend.server.loading import load
from backend.server.ports import Ports
from backend.server.serving import listen, serving
from deploy.manifests.secrets import CERTIFICATE, TOKENS
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.support import Collecting, application_of
from tests.common.kubernetes.certificates import make_identity
from tests.deploy.rendering import DEPLOY, charted, container, environment, kustomized, one

FOLDERS = {"secured": "Deployment", "secured-single": "StatefulSet"}
AGENT = ("DaemonSet", "pyrover-agent")


def secret_volumes(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, dict[str, str]]:
    """Keys of Secrets by the path at which a container finds them, by Secret."""
    pod = one(objects, kind, name)["spec"]["template"]["spec"]
    mounts = {each["name"]: each for each in container(objects, kind, name)["volumeMounts"]}
    found: dict[str, dict[str, str]] = {}
    for volume in pod["volumes"]:
        if "secret" in volume:
            mount = mounts[volume["name"]]
            assert mount["readOnly"] is True
            assert "subPath" not in mount  # which is not replaced when the Secret is
            assert volume["secret"]["defaultMode"] == 0o440
            for item in volume["secret"]["items"]:
                path = f"{mount['mountPath']}/{item['path']}"
                found.setdefault(volume["secret"]["secretName"], {})[path] = item["key"]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_program_gets_what_it_needs_of_secrets_and_no_more(folder: str) -> None:
    objects = kustomized(DEPLOY / folder)
    backend = secret_volumes(objects, FOLDERS[folder], "pyrover-backend")
    settings = load(None, environment(objects, FOLDERS[folder], "pyrover-backend"), {})
    assert settings.grpc_tls == settings.http_tls
    assert backend == {
        TOKENS: {settings.token_file: "token", settings.http_token_file: "http-token"},
        CERTIFICATE: {settings.grpc_tls.certificate: "tls.crt", settings.grpc_tls.key: "tls.key"},
    }
    asked = load_configuration(None, environment(objects, *AGENT)).core.backend
    assert secret_volumes(objects, *AGENT) == {
        TOKENS: {asked.authentication_file: "token"},
        CERTIFICATE: {asked.ca_pem_path: "ca.crt"},
    }
    assert asked.enable_TLS is True
    assert asked.insecure_skip_verify is False
    assert container(objects, FOLDERS[folder], "pyrover-backend")["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


@pytest.mark.parametrize("folder", ["", "single"])
def test_without_them_nothing_is_mounted(folder: str) -> None:
    objects = kustomized(DEPLOY / folder)
    kind = "StatefulSet" if folder else "Deployment"
    assert secret_volumes(objects, kind, "pyrover-backend") == secret_volumes(objects, *AGENT) == {}
    assert "scheme" not in container(objects, kind, "pyrover-backend")["readinessProbe"]["httpGet"]


def test_prometheus_shows_a_token_where_one_is_asked_for() -> None:
    for tokens, expected in (("files", {"name": TOKENS, "key": "metrics-token"}), ("variable", None)):
        objects = charted(podMonitor__enabled=True, security__tokens=tokens)
        (endpoint,) = one(objects, "PodMonitor", "pyrover-backend")["spec"]["podMetricsEndpoints"]
        assert endpoint.get("authorization", {}).get("credentials") == expected
        (endpoint,) = one(objects, "PodMonitor", "pyrover-agent")["spec"]["podMetricsEndpoints"]
        assert "authorization" not in endpoint  # an agent asks for none


async def test_programs_with_these_secrets_find_each_other(tmp_path: Path) -> None:
    """Both with the variables of the manifests, and files as kubelet would put them."""
    objects = kustomized(DEPLOY / "secured")
    identity = make_identity(tmp_path, "server", "DNS:pyrover-backend,IP:127.0.0.1")
    certificate = identity.certificate.read_bytes()
    held = {
        TOKENS: {"token": b"of agents\n", "http-token": b"of people\n"},
        CERTIFICATE: {"tls.crt": certificate, "tls.key": identity.key.read_bytes(), "ca.crt": certificate},
    }
    for each, keys in held.items():  # they are what the API takes
        data = {key: base64.b64encode(value).decode() for key, value in keys.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": each}, "data": data}
        kubernetes_validate.validate(secret, "1.30", strict=True)

    def mounted(kind: str, name: str) -> dict[str, str]:
        """Variables with the files of the Secrets below the test's folder."""
        for secret, paths in secret_volumes(objects, kind, name).items():
            for path, key in paths.items():
                file = tmp_path / name / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(held[secret][key])
        variables = environment(objects, kind, name)
        return {
            key: str(tmp_path / name / value.lstrip("/")) if value.startswith("/secrets/") else value
            for key, value in variables.items()
            if value != "from elsewhere"
        }

    of_backend = {**mounted("Deployment", "pyrover-backend"), "PYROVER_BACKEND_DATA": str(tmp_path)}
    settings = load(
        None, {**of_backend, "SW_CORE_GRPC_PORT": "0", "SW_CORE_REST_PORT": "0", "SW_TELEMETRY": "none"}, {}
    )
    for listener in (*(ports := Ports.listen(settings)).agents, *ports.questions):
        listener.close()  # the files can be used
    credentials = Credentials(settings)
    assert (credentials.token.admits(b"of agents"), credentials.http_token.admits(b"of people")) == (True, True)
    assert (credentials.token.admits(b"of people"), credentials.http_token.admits(b"of agents")) == (False, False)
    sink = Collecting()
    listener = listen("127.0.0.1", 0, "")
    application = application_of(AccessLogService(sink), token="of agents")  # noqa: S106 - of the test
    async with serving(application, [listener], 5.0, settings.grpc_tls):
        of_agent = mounted(*AGENT) | {"ROVER_BACKEND_ADDR": listener.authority}
        agent = AgentCredentials(load_configuration(None, of_agent).core.backend)
        transport = agent.open_transport()
        batch = Batch([message(read_log(), node="n", remote="a").SerializeToString()], 1)
        attempt = await asyncio.to_thread(transport.send, batch, 60.0)
        transport.close()
    assert attempt.outcome is Outcome.DELIVERED, attempt.detail
    assert sink.logs == 1
