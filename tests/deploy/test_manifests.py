"""The manifests, beside what the programs know of settings and of a cluster."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

from backend.entities.addresses.cluster import READS
from backend.server.declarations import SETTINGS
from backend.server.loading import load
from tests.backend.server.processes import ROOT

DEPLOY = ROOT / "deploy"


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    return found


def objects() -> Iterator[dict[str, Any]]:
    for name in kustomization()["resources"]:
        yield from yaml.safe_load_all((DEPLOY / name).read_text())


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def container(kind: str, name: str) -> dict[str, Any]:
    (found,) = one(kind, name)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(kind: str, name: str) -> dict[str, str]:
    return {each["name"]: each.get("value", "from a secret") for each in container(kind, name)["env"]}


def test_everything_that_is_listed_is_there_and_nothing_else() -> None:
    files = {str(path.relative_to(DEPLOY)) for path in (DEPLOY / "kubernetes").iterdir()}
    assert set(kustomization()["resources"]) == files
    for generated in kustomization()["configMapGenerator"]:
        assert {Path(file).parent.name for file in generated["files"]} == {"clickhouse"}
        assert all((DEPLOY / file).exists() for file in generated["files"])


def test_the_settings_of_the_backend_are_settings() -> None:
    given = environment("Deployment", "pyrover-backend")
    assert set(given) <= {setting.variable for setting in SETTINGS} | {setting.upstream for setting in SETTINGS}
    settings = load(None, given, {})
    assert (settings.store.kind, settings.store.clickhouse_host) == ("clickhouse", "clickhouse")
    assert settings.store.clickhouse_port == one("Service", "clickhouse")["spec"]["ports"][0]["port"]
    ports = {each["name"]: each["containerPort"] for each in container("Deployment", "pyrover-backend")["ports"]}
    assert ports == {"grpc": settings.grpc_port, "http": settings.http_port, "metrics": settings.prometheus.port}
    pod = one("Deployment", "pyrover-backend")["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(settings.prometheus.port)
    # Open calls get their time, and what was received is stored after that.
    assert pod["spec"]["terminationGracePeriodSeconds"] > settings.times.shutdown_seconds


def test_the_account_may_read_what_is_watched_and_nothing_else() -> None:
    allowed = {
        (group, resource, verb)
        for rule in one("ClusterRole", "pyrover-backend")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == {(read.group, read.name, verb) for read in READS for verb in ("list", "watch")}
    binding = one("ClusterRoleBinding", "pyrover-backend")
    assert binding["subjects"][0]["namespace"] == kustomization()["namespace"]
    account = one("Deployment", "pyrover-backend")["spec"]["template"]["spec"]["serviceAccountName"]
    assert account == binding["subjects"][0]["name"] == one("ServiceAccount", account)["metadata"]["name"]


def test_clickhouse_gets_every_variable_that_its_configuration_asks_for() -> None:
    root = ET.parse(DEPLOY / "clickhouse" / "config.xml").getroot()  # noqa: S314 - our own file
    asked = {element.get("from_env") for element in root.iter()} - {None}
    assert asked == set(environment("StatefulSet", "clickhouse"))
    selector = one("NetworkPolicy", "clickhouse")["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert selector == one("Deployment", "pyrover-backend")["spec"]["template"]["metadata"]["labels"]


def test_what_services_select_has_the_ports_that_they_name() -> None:
    for kind, name in (("Deployment", "pyrover-backend"), ("StatefulSet", "clickhouse")):
        service, workload = one("Service", name), one(kind, name)
        assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]
        ports = {each["name"] for each in container(kind, name)["ports"]}
        assert {each.get("targetPort", each["name"]) for each in service["spec"]["ports"]} <= ports
