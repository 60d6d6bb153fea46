"""Who asks an API server, and how it is trusted."""

from pathlib import Path

import pytest

from common.kubernetes.access import AccessError, Server, in_cluster, parse_server
from common.kubernetes.resources import NODES
from common.kubernetes.watch import Watch
from tests.common.kubernetes.api_server import ApiServer
from tests.common.kubernetes.certificates import Identity, make_identity
from tests.common.kubernetes.following import HURRIED, Follower, Pauses
from tests.common.kubernetes.manifests import node
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("certificates"), "server")


def account(folder: Path, identity: Identity, token: str = "a-token\n") -> Path:  # noqa: S107 - of the test's server alone
    folder.joinpath("ca.crt").write_bytes(identity.certificate.read_bytes())
    folder.joinpath("token").write_text(token)
    return folder


def environment(url: str) -> dict[str, str]:
    host, _, port = url.removeprefix("https://").rpartition(":")
    return {"KUBERNETES_SERVICE_HOST": host.strip("[]"), "KUBERNETES_SERVICE_PORT": port}


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://10.0.0.1:6443", Server("10.0.0.1", 6443, secure=True)),
        ("https://api.example", Server("api.example", 443, secure=True)),
        ("http://localhost/clusters/a/", Server("localhost", 80, secure=False, prefix="/clusters/a")),
        ("https://[fd00::1]:6443", Server("fd00::1", 6443, secure=True)),
    ],
)
def test_a_server_is_named_by_its_url(url: str, server: Server) -> None:
    assert parse_server(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "10.0.0.1:6443",
        "ftp://a",
        "https://",
        "https://a:b",
        "https://a:99999",
        "https://u@a",
        "https://a?b",
        "https://[::1",
    ],
)
def test_what_is_no_url_of_a_server_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(AccessError, match=r"must look like 'https://10\.0\.0\.1:6443'"):
        parse_server(url)


def test_a_pod_asks_as_its_service_account_whose_token_is_read_again(identity: Identity, tmp_path: Path) -> None:
    server = ApiServer(identity.context())
    server.put("nodes", node("one", "192.0.2.1"))
    with server.serving() as url:
        access = in_cluster(environment(url), account(tmp_path, identity, "expired"))
        follower = Follower()
        watch = Watch(NODES, access, follower, HURRIED)
        watch.start()
        server.until(lambda: 401 in server.answers("nodes", "list"))
        account(tmp_path, identity)
        follower.until("list one")
        watch.stop()
    assert {asked.authorization for asked in server.asked} == {"Bearer expired", "Bearer a-token"}


def test_a_cluster_of_ipv6_is_reached(tmp_path: Path) -> None:
    identity = make_identity(tmp_path, "six", "IP:::1")
    server = ApiServer(identity.context())
    server.put("nodes", node("one", "2001:db8::1"))
    with server.serving("::1") as url:
        follower = Follower()
        watch = Watch(NODES, in_cluster(environment(url), account(tmp_path, identity)), follower, HURRIED)
        watch.start()
        follower.until("list one")
        watch.stop()


def test_a_server_that_nobody_vouches_for_is_not_asked(identity: Identity, tmp_path: Path) -> None:
    other = make_identity(tmp_path, "other")
    server = ApiServer(identity.context())
    with server.serving() as url:
        watch = Watch(NODES, in_cluster(environment(url), account(tmp_path, other)), follower := Follower(), HURRIED)
        watch._ending = pauses = Pauses()
        watch.start()
        assert pauses.begun.wait(PATIENCE)
        watch.stop()
    assert server.asked == []
    assert follower.history == []
    assert "certificate verify failed" in watch.counts.trouble


def test_outside_of_a_cluster_it_is_said_what_to_do() -> None:
    with pytest.raises(AccessError, match="name a kubeconfig file"):
        in_cluster({})


@pytest.mark.parametrize(
    ("port", "token", "said"),
    [
        ("https", "a-token", "KUBERNETES_SERVICE_PORT must be a number"),
        ("443", "", "must hold a token"),
        ("443", "two words", "must hold a token"),
        ("443", "line\r\nX-Another: header", "must hold a token"),
        ("443", "pässword", "must hold a token"),
    ],
)
def test_what_is_wrong_in_a_pod_is_told_at_once(
    identity: Identity, tmp_path: Path, port: str, token: str, said: str
) -> None:
    place = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    with pytest.raises(AccessError, match=said):
        in_cluster(place, account(tmp_path, identity, token))


def test_missing_files_and_bad_certificates_are_named(identity: Identity, tmp_path: Path) -> None:
    place = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(AccessError, match=r"ca\.crt: cannot be read: No such file"):
        in_cluster(place, tmp_path)
    folder = account(tmp_path, identity)
    for bad in ("", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        folder.joinpath("ca.crt").write_text(bad)
        with pytest.raises(AccessError, match=r"ca\.crt: must hold certificates"):
            in_cluster(place, folder)
