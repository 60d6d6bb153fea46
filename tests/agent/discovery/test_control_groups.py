"""Real processes in real control groups of every shape."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.discovery.cgroups import container_ids, is_in_kubernetes, pod_uid, systemd_unit
from agent.discovery.procfs import ProcHost
from tests.agent.discovery.control_groups import control_group, enter
from tests.agent.discovery.test_cgroups import ID, KIND, STATIC, UID, UNDERSCORES
from tests.e2e.programs import ROOT

BASE = "/pyrover-shapes"
READER = """
import json, sys
from agent.discovery.procfs import ProcHost
print(json.dumps(ProcHost().process(int(sys.argv[1])).cgroups))
"""


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        yield running.pid
        running.communicate()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("path", "containers", "uid", "unit"),
    [
        (f"/kubepods/burstable/pod{UID}/{ID}", [ID], UID, ""),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope", [ID], UID, ""),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/crio-{ID}.scope/container", [ID], UID, ""),
        (
            f"/system.slice/containerd.service/kubepods-pod{UNDERSCORES}.slice:cri-containerd:{ID}",
            [ID],
            UID,
            "containerd",
        ),
        (f"/docker/{KIND}/kubelet/kubepods/besteffort/pod{UID}/{ID}", [ID, KIND], UID, ""),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/docker-{ID}.scope",
            [ID],
            STATIC,
            "",
        ),
        (
            f"/system.slice/docker-{KIND}.scope/kubelet.slice/kubelet-kubepods-pod{UNDERSCORES}.slice/crio-{ID}.scope",
            [ID, KIND],
            UID,
            "",
        ),
        (f"/docker/{KIND}/docker/{ID}", [ID, KIND], "", ""),
        (f"/system.slice/docker-{ID}.scope", [ID], "", ""),
        (f"/docker/{ID}", [ID], "", ""),
        (f"/machine.slice/libpod-{ID}.scope/container", [ID], "", ""),
        ("/system.slice/cart.service", [], "", "cart"),
    ],
)
def test_the_kernel_shows_what_is_read(
    process: int, version: int, path: str, *, containers: list[str], uid: str, unit: str
) -> None:
    with control_group(version, BASE + path) as group:
        enter(group, process)
        facts = ProcHost().process(process)
        assert facts is not None
        paths = [each for each in facts.cgroups if BASE in each]
        assert list(container_ids(paths)) == containers
        assert (pod_uid(paths), is_in_kubernetes(paths), systemd_unit(paths)) == (uid, bool(uid), unit)
        enter(group.parents[len(path.split("/")) - 1], process)  # out of it again, that it may be removed


OTHER = "1" * 64
AGENT = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{OTHER}.scope"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has control group namespaces")
@pytest.mark.parametrize(
    ("path", "seen", "container", "uid", "unit"),
    [
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORES}.slice/crio-{ID}.scope",
            f"/../../kubepods-burstable-pod{UNDERSCORES}.slice/crio-{ID}.scope",
            ID,
            UID,
            "",
        ),
        (
            f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope",
            f"/../../../kubepods-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope",
            ID,
            UID,
            "",
        ),
        (f"{AGENT.rpartition('/')[0]}/cri-containerd-{ID}.scope", f"/../cri-containerd-{ID}.scope", ID, "", ""),
        (f"{AGENT}/worker", "/worker", "", "", ""),
        ("/system.slice/cart.service", "/../../../../system.slice/cart.service", "", "", "cart"),
    ],
    ids=["a pod of its class", "a pod of another class", "its own pod", "its own container", "the host"],
)
def test_an_agent_in_a_control_group_namespace_sees_enough(
    process: int, path: str, *, seen: str, container: str, uid: str, unit: str
) -> None:
    """As container engines begin an agent on control groups of version 2: paths are told from its own group on."""
    with control_group(2, BASE + AGENT) as own, control_group(2, BASE + path) as group:
        enter(group, process)
        inside = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec unshare --cgroup "$@"', str(own)]
        done = subprocess.run(
            [*inside, sys.executable, "-c", READER, str(process)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert seen in json.loads(done.stdout)
        assert next(container_ids([seen]), "") == container
        assert (pod_uid([seen]), systemd_unit([seen])) == (uid, unit)
        enter(group.parents[len((BASE + path).split("/")) - 2], process)  # out of it again, that it may be removed
