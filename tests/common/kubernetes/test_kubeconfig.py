"""Access by the files of kubectl."""

import base64
import json
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.kubernetes.access import Access, AccessError
from common.kubernetes.connection import Connection, Stopper
from common.kubernetes.kubeconfig import from_kubeconfig
from tests.common.kubernetes.api_server import TOKEN, ApiServer
from tests.common.kubernetes.certificates import Identity, make_identity


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("certificates"), "server")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("certificates"), "client", "DNS:client")


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    content = {
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def ask(access: Access) -> int:
    with Connection(access, Stopper()) as connection:
        return connection.get("/api/v1/nodes", {"limit": "1"}, 10.0).status


def authorities(identity: Identity) -> str:
    return base64.b64encode(identity.certificate.read_bytes()).decode()


def test_authorities_and_a_token_in_the_file(identity: Identity, tmp_path: Path) -> None:
    server = ApiServer(identity.context())
    with server.serving() as url:
        cluster = {"server": url, "certificate-authority-data": authorities(identity)}
        assert ask(from_kubeconfig([write(tmp_path / "config", cluster, {"token": TOKEN})])) == 200


def test_files_are_named_from_the_folder_of_the_file_and_the_server_by_another_name(
    identity: Identity, tmp_path: Path
) -> None:
    server = ApiServer(identity.context())
    (tmp_path / "ca.pem").write_bytes(identity.certificate.read_bytes())
    (tmp_path / "token").write_text(TOKEN)
    with server.serving() as url:
        cluster = {
            "server": url.replace("127.0.0.1", "localhost"),  # which is not in the certificate
            "certificate-authority": "ca.pem",
            "tls-server-name": "api.test",
        }
        user = {"tokenFile": "token", "token": "older"}
        assert ask(from_kubeconfig([write(tmp_path / "config", cluster, user)])) == 200
        without = {key: value for key, value in cluster.items() if key != "tls-server-name"}
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            ask(from_kubeconfig([write(tmp_path / "config", without, user)]))


@pytest.mark.parametrize("in_file", [True, False])
def test_a_certificate_of_the_client(identity: Identity, client: Identity, tmp_path: Path, *, in_file: bool) -> None:
    context = identity.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client.certificate)
    user: dict[str, Any] = {"token": TOKEN}
    bare = dict(user)
    if in_file:
        user |= {"client-certificate": str(client.certificate), "client-key": str(client.key)}
    else:
        user |= {
            "client-certificate-data": authorities(client),
            "client-key-data": base64.b64encode(client.key.read_bytes()).decode(),
        }
    server = ApiServer(context)
    with server.serving() as url:
        cluster = {"server": url, "certificate-authority-data": authorities(identity)}
        assert ask(from_kubeconfig([write(tmp_path / "config", cluster, user)])) == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):  # whichever of them is noticed first
            ask(from_kubeconfig([write(tmp_path / "config", cluster, bare)]))
    assert len(server.asked) == 1


def test_a_server_may_go_unverified_when_the_file_says_so(identity: Identity, tmp_path: Path) -> None:
    server = ApiServer(identity.context())
    with server.serving() as url:
        cluster = {"server": url, "insecure-skip-tls-verify": True}
        assert ask(from_kubeconfig([write(tmp_path / "config", cluster, {"token": TOKEN})])) == 200


def test_a_name_and_a_password_are_sent_as_such(tmp_path: Path) -> None:
    access = from_kubeconfig([write(tmp_path / "config", {}, {"username": "ann", "password": "secret"})])
    assert access.authorization() == "Basic " + base64.b64encode(b"ann:secret").decode()


def test_of_several_files_the_first_that_says_something_counts(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_text(yaml.safe_dump({"users": [{"name": "u", "user": {"token": "of-the-first"}}]}))
    second = write(tmp_path / "second", {}, {"token": "of-the-second"})
    assert from_kubeconfig([first, second]).authorization() == "Bearer of-the-first"
    assert from_kubeconfig([second, first]).authorization() == "Bearer of-the-second"


def test_another_context_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "config", {}, {"token": "x"})
    content = yaml.safe_load(path.read_text())
    content["contexts"].append({"name": "anonymous", "context": {"cluster": "c"}})
    path.write_text(yaml.safe_dump(content))
    assert from_kubeconfig([path], "anonymous").authorization() == ""
    with pytest.raises(AccessError, match="contexts has no entry named 'other'"):
        from_kubeconfig([path], "other")


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"./{path.name}"


def credential(**status: str) -> str:
    return json.dumps({"kind": "ExecCredential", "status": status})


def test_a_program_gives_credentials_until_they_expire(tmp_path: Path) -> None:
    answers = [credential(token="one", expirationTimestamp="2001-01-01T00:00:00Z"), credential(token="two")]  # noqa: S106 - no secret
    script = (
        f"echo $KUBERNETES_EXEC_INFO >> runs; [ $(wc -l < runs) = 1 ] && echo '{answers[0]}' || echo '{answers[1]}'"
    )
    command = program(tmp_path / "login", f'cd "{tmp_path}"; [ "$1 $REGION" = "give here" ] || exit 3; {script}')
    user = {
        "exec": {
            "command": command,
            "apiVersion": "client.authentication.k8s.io/v1",
            "args": ["give"],
            "env": [{"name": "REGION", "value": "here"}],
            "interactiveMode": "Never",
        }
    }
    access = from_kubeconfig([write(tmp_path / "config", {}, user)])
    assert [access.authorization() for _ in range(4)] == ["Bearer one", *["Bearer two"] * 3]
    runs = [json.loads(line) for line in (tmp_path / "runs").read_text().splitlines()]
    assert [(run["kind"], run["spec"]) for run in runs] == [("ExecCredential", {"interactive": False})] * 2


def test_a_program_gives_a_certificate(identity: Identity, client: Identity, tmp_path: Path) -> None:
    given = credential(
        token=TOKEN, clientCertificateData=client.certificate.read_text(), clientKeyData=client.key.read_text()
    )
    (tmp_path / "given").write_text(given)
    command = program(tmp_path / "login", f'cat "{tmp_path}/given"')
    context = identity.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client.certificate)
    server = ApiServer(context)
    with server.serving() as url:
        cluster = {"server": url, "certificate-authority-data": authorities(identity)}
        user = {"exec": {"command": command, "apiVersion": "client.authentication.k8s.io/v1"}}
        assert ask(from_kubeconfig([write(tmp_path / "config", cluster, user)])) == 200


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no session >&2; exit 7", "failed with status 7: no session"),
        ("echo no JSON", "must print an ExecCredential"),
        (r"printf '{\"kind\":\"\377\"}'", "must print an ExecCredential"),
        (f"echo '{credential()}'", "gave neither a token nor a certificate"),
        (f"echo '{credential(token='x', expirationTimestamp='2001-01-01T00:00:00')}'", "must print an ExecCredential"),  # noqa: S106 - no secret
        (None, "cannot be run: No such file or directory. Install it."),
    ],
)
def test_a_program_that_gives_nothing_is_named_with_what_it_said(tmp_path: Path, script: str | None, said: str) -> None:
    command = program(tmp_path / "login", script) if script is not None else "./missing"
    user = {"exec": {"command": command, "apiVersion": "v1", "installHint": "Install it."}}
    access = from_kubeconfig([write(tmp_path / "config", {}, user)])
    with pytest.raises(AccessError, match=said):
        access.authorization()


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"proxy-url": "http://proxy"}, {}, "proxy-url is not supported"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider is not supported"),
        ({}, {"as": "somebody"}, "as is not supported"),
        ({"server": "nowhere"}, {}, "must look like"),
        ({"server": 5}, {}, r"clusters: c: Expected `str`, got `int`"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    with pytest.raises(AccessError, match=said):
        from_kubeconfig([write(tmp_path / "config", cluster, user)])


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"certificate-authority-data": "%"}, {}, "certificate-authority-data must be in Base64"),
        ({"certificate-authority": "missing"}, {}, "missing: cannot be read"),
        ({}, {"client-certificate-data": "YQ=="}, "a client's certificate and its key are of use only together"),
        ({}, {"client-certificate-data": "YQ==", "client-key-data": "YQ=="}, "certificate and key cannot be used"),
    ],
)
def test_what_cannot_secure_a_connection_is_said(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    access = from_kubeconfig([write(tmp_path / "config", cluster, user)])
    with pytest.raises(AccessError, match=said):
        access.context()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no current-context"),
        ("[", "is not YAML"),
        ("contexts: 5\ncurrent-context: x", "contexts must be a list"),
        ("contexts: [5]\ncurrent-context: x", "contexts has no entry named 'x'"),
        ("contexts: [{name: x}]\ncurrent-context: x", "contexts: x: Expected `object`, got `null`"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(AccessError, match=said):
        from_kubeconfig([path])
    with pytest.raises(AccessError, match="cannot be read"):
        from_kubeconfig([tmp_path / "missing"])
