"""Real processes in real control groups of every shape."""

import subprocess
from collections.abc import Iterator

import pytest

from agent.discovery.cgroups import container_ids, is_in_kubernetes, pod_uid, systemd_unit
from agent.discovery.procfs import ProcHost
from tests.agent.discovery.control_groups import control_group, enter
from tests.agent.discovery.test_cgroups import ID, KIND, UID, UNDERSCORES

BASE = "/pyrover-shapes"


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
