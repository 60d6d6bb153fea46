"""The manifests, beside what the programs know of settings, of a cluster and of the kernel."""

import ast
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from agent.config import ENVIRONMENT
from agent.config_loading import load_configuration
from agent.kernel.loader_options import OBJECTS
from agent.kernel.privileges import CAPABILITIES
from agent.kernel.tracefs import USUAL_PLACES
from agent.telemetry.messages import RepeatFilter
from agent.telemetry.status import AgentStatus
from backend.entities.addresses.cluster import READS
from backend.server.declarations import SETTINGS
from backend.server.loading import load
from common.kubernetes import resources
from deploy.manifests.agent import READS as AGENT_READS
from tests.deploy.rendering import DEPLOY, NAMESPACE, charted, container, environment, kustomized, one
from tests.e2e.programs import ROOT

BACKENDS = {"": "Deployment", "single": "StatefulSet", "secured": "Deployment", "secured-single": "StatefulSet"}
"""Kind of the backend's workload, by the folder that is installed."""


def allowed(objects: list[dict[str, Any]], name: str) -> set[tuple[str, str, str]]:
    """Group, kind and verb of all that an account may do."""
    return {
        (group, resource, verb)
        for rule in one(objects, "ClusterRole", name)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def watched_by_the_agent() -> set[tuple[str, str]]:
    """Group and kind of the objects that modules of the agent ask for: constants of common.kubernetes, or their own."""
    known = {name: each for name, each in vars(resources).items() if isinstance(each, resources.Resource)}
    found = set()
    for path in (ROOT / "agent").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "kubernetes.resources" in text else ():
            match node:
                case ast.ImportFrom(module="common.kubernetes.resources"):
                    found |= {(known[each.name].group, each.name.lower()) for each in node.names if each.name in known}
                case ast.Call(
                    func=ast.Name(id="Resource"),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(group)), *_],
                ):
                    found.add((group, name))
    return found


@pytest.mark.parametrize("folder", BACKENDS)
def test_the_settings_of_the_backend_are_settings(folder: str) -> None:
    objects = kustomized(DEPLOY / folder)
    kind = BACKENDS[folder]
    given = environment(objects, kind, "pyrover-backend")
    assert set(given) <= {setting.variable for setting in SETTINGS} | {setting.upstream for setting in SETTINGS}
    settings = load(None, given, {})
    ports = {each["name"]: each["containerPort"] for each in container(objects, kind, "pyrover-backend")["ports"]}
    assert ports == {"grpc": settings.grpc_port, "http": settings.http_port, "metrics": settings.prometheus.port}
    pod = one(objects, kind, "pyrover-backend")["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(settings.prometheus.port)
    # Open calls get their time, and what was received is stored after that.
    assert pod["spec"]["terminationGracePeriodSeconds"] > settings.times.shutdown_seconds
    mounts = {each["mountPath"] for each in container(objects, kind, "pyrover-backend")["volumeMounts"]}
    assert settings.data in mounts
    if "single" in folder:
        assert settings.store.kind == "duckdb"
    else:
        assert (settings.store.kind, settings.store.clickhouse_host) == ("clickhouse", "clickhouse")
        assert settings.store.clickhouse_port == one(objects, "Service", "clickhouse")["spec"]["ports"][0]["port"]


def test_the_settings_of_the_agent_are_settings() -> None:
    objects = kustomized(DEPLOY)
    given = environment(objects, "DaemonSet", "pyrover-agent")
    assert set(given) <= set(ENVIRONMENT)
    configuration = load_configuration(None, given)
    service = one(objects, "Service", "pyrover-backend")
    host, _, port = configuration.core.backend.addr.partition(":")
    assert host == service["metadata"]["name"]
    assert int(port) in {each["port"] for each in service["spec"]["ports"]}
    assert configuration.process_discovery.kubernetes.active is True
    mounted = {each["mountPath"] for each in container(objects, "DaemonSet", "pyrover-agent")["volumeMounts"]}
    assert str(Path(configuration.spool.folder).parent) in mounted
    assert configuration.node.name == configuration.core.backend.authentication == "from elsewhere"


def test_the_account_of_the_backend_may_read_what_is_watched_and_nothing_else() -> None:
    objects = kustomized(DEPLOY)
    watched = {(read.group, read.name, verb) for read in READS for verb in ("list", "watch")}
    assert allowed(objects, "pyrover-backend") == watched


def test_the_account_of_the_agent_may_read_what_is_watched_and_nothing_else() -> None:
    objects = kustomized(DEPLOY)
    listed = {(group, kind) for group, kinds in AGENT_READS.items() for kind in kinds}
    assert allowed(objects, "pyrover-agent") == {(*each, verb) for each in listed for verb in ("list", "watch")}
    assert watched_by_the_agent() == listed


@pytest.mark.parametrize(("kind", "name"), [("DaemonSet", "pyrover-agent"), ("Deployment", "pyrover-backend")])
def test_accounts_are_bound_to_their_roles(kind: str, name: str) -> None:
    objects = kustomized(DEPLOY)
    account = one(objects, kind, name)["spec"]["template"]["spec"]["serviceAccountName"]
    binding = one(objects, "ClusterRoleBinding", name)
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]
    assert one(objects, "ServiceAccount", account)["metadata"]["namespace"] == NAMESPACE
    assert binding["roleRef"]["name"] == one(objects, "ClusterRole", name)["metadata"]["name"]


def test_the_agent_may_do_what_is_listed_and_no_more() -> None:
    context = container(kustomized(DEPLOY), "DaemonSet", "pyrover-agent")["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert [f"CAP_{name}" for name in context["capabilities"]["add"]] == [each.name for each in CAPABILITIES]
    assert (context["privileged"], context["allowPrivilegeEscalation"]) == (False, False)
    assert context["readOnlyRootFilesystem"] is True


def test_the_agent_sees_of_its_node_what_is_listed_and_no_more() -> None:
    objects = kustomized(DEPLOY)
    pod = one(objects, "DaemonSet", "pyrover-agent")["spec"]["template"]["spec"]
    of_the_node = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert of_the_node == {"tracefs": str(USUAL_PLACES[0])}
    assert mounts["tracefs"] == str(USUAL_PLACES[0])
    assert set(mounts) == {each["name"] for each in pod["volumes"]}
    assert mounts["objects"] == str(OBJECTS.parent)
    # Processes of events are named by ids of the node, and /proc is asked for them.
    assert (pod["hostPID"], load_configuration(None, {}).discovery.proc) == (True, "/proc")


@pytest.mark.parametrize(("folder", "kind"), [*BACKENDS.items(), ("", "DaemonSet"), ("", "StatefulSet")])
def test_no_other_program_may_anything(folder: str, kind: str) -> None:
    for each in kustomized(DEPLOY / folder):
        if each["kind"] != kind or each["metadata"]["name"] == "pyrover-agent":
            continue
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert {"hostPID", "hostNetwork"}.isdisjoint(pod)
        for own in pod["containers"]:
            assert own["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert own["securityContext"]["allowPrivilegeEscalation"] is False


def test_clickhouse_gets_every_variable_that_its_configuration_asks_for() -> None:
    objects = kustomized(DEPLOY)
    root = ET.parse(DEPLOY / "clickhouse" / "config.xml").getroot()  # noqa: S314 - our own file
    asked = {element.get("from_env") for element in root.iter()} - {None}
    assert asked == set(environment(objects, "StatefulSet", "clickhouse"))
    selector = one(objects, "NetworkPolicy", "clickhouse")["spec"]["ingress"][0]["from"][0]["podSelector"]
    assert (
        selector["matchLabels"]
        == one(objects, "Deployment", "pyrover-backend")["spec"]["template"]["metadata"]["labels"]
    )
    given = one(objects, "ConfigMap", "clickhouse")["data"]
    assert given == {path.name: path.read_text() for path in (DEPLOY / "clickhouse").iterdir()}


@pytest.mark.parametrize("folder", BACKENDS)
def test_what_services_select_has_the_ports_that_they_name(folder: str) -> None:
    objects = kustomized(DEPLOY / folder)
    services = [each for each in objects if each["kind"] == "Service"]
    assert services
    for service in services:
        name = service["metadata"]["name"]
        kind = "StatefulSet" if name == "clickhouse" else BACKENDS[folder]
        workload = one(objects, kind, name)
        assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]
        ports = {each["name"] for each in container(objects, kind, name)["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "pyrover-backend"), ("DaemonSet", "pyrover-agent")])
def test_prometheus_asks_the_port_that_a_program_has(kind: str, name: str) -> None:
    objects = charted(podMonitor__enabled=True)
    monitor = one(objects, "PodMonitor", name)["spec"]
    pod = one(objects, kind, name)["spec"]["template"]
    assert monitor["selector"]["matchLabels"] == pod["metadata"]["labels"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    ports = {each["name"]: each["containerPort"] for each in container(objects, kind, name)["ports"]}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports[endpoint["port"]])
    assert endpoint["path"] == "/metrics"


def test_the_agent_is_asked_where_it_tells_of_itself() -> None:
    objects = kustomized(DEPLOY)
    own = container(objects, "DaemonSet", "pyrover-agent")
    configuration = load_configuration(None, environment(objects, "DaemonSet", "pyrover-agent"))
    ports = {each["name"]: each["containerPort"] for each in own["ports"]}
    assert configuration.telemetry.address == f":{ports['telemetry']}"
    answers = AgentStatus("auto", RepeatFilter()).answers
    for probe in ("readinessProbe", "livenessProbe"):
        assert own[probe]["httpGet"]["path"] in answers
        assert own[probe]["httpGet"]["port"] in ports
    # Until it is attached it is alive, and not ready.
    assert answers[own["readinessProbe"]["httpGet"]["path"]]().status == 503
    assert answers[own["livenessProbe"]["httpGet"]["path"]]().status == 200


def test_data_is_kept_over_an_upgrade() -> None:
    """Volumes are claimed by name, and of DuckDB's backend there is one at a time."""
    for folder, name in (("", "clickhouse"), ("single", "pyrover-backend")):
        workload = one(kustomized(DEPLOY / folder), "StatefulSet", name)["spec"]
        (claim,) = workload["volumeClaimTemplates"]
        (own,) = workload["template"]["spec"]["containers"]
        paths = {each["name"]: each["mountPath"] for each in own["volumeMounts"]}
        assert paths[claim["metadata"]["name"]] == "/data"
        assert workload["replicas"] == 1
        assert "persistentVolumeClaimRetentionPolicy" not in workload  # by default claims stay
