"""What a cluster that enforces the Pod Security Standards admits, beside what the pods ask for."""

from typing import Any

import pytest

from tests.deploy.rendering import DEPLOY, NAMESPACE, kustomized, one

ENFORCED = "pod-security.kubernetes.io/enforce"


def beyond_baseline(pod: dict[str, Any]) -> set[str]:
    """What of a pod the standard `baseline` forbids, among the things that pods here ask for."""
    containers = [*pod.get("initContainers", ()), *pod["containers"]]
    contexts = [container.get("securityContext", {}) for container in containers]
    found = {name for name in ("hostPID", "hostNetwork", "hostIPC") if pod.get(name)}
    found |= {"hostPath" for volume in pod.get("volumes", ()) if "hostPath" in volume}
    found |= {"capabilities" for context in contexts if context.get("capabilities", {}).get("add")}
    return found | {"privileged" for context in contexts if context.get("privileged")}


@pytest.mark.parametrize("folder", ["", "single", "secured", "secured-single"])
def test_the_namespace_admits_the_agents(folder: str) -> None:
    """Without the label such a cluster makes no pod of the DaemonSet, and only its events say so."""
    objects = kustomized(DEPLOY / folder)
    agents = one(objects, "DaemonSet", "pyrover-agent")["spec"]["template"]["spec"]
    assert beyond_baseline(agents) == {"hostPID", "hostNetwork", "hostPath", "capabilities"}
    assert one(objects, "Namespace", NAMESPACE)["metadata"]["labels"] == {ENFORCED: "privileged"}


@pytest.mark.parametrize("folder", ["", "single", "secured", "secured-single"])
def test_only_the_agents_need_that(folder: str) -> None:
    workloads = [each for each in kustomized(DEPLOY / folder) if each["kind"] in {"Deployment", "StatefulSet"}]
    assert workloads
    assert [beyond_baseline(each["spec"]["template"]["spec"]) for each in workloads] == [set()] * len(workloads)
