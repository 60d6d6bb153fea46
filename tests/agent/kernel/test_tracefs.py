"""agent/kernel/tracefs.py: found, or reached without mounting it for anybody else."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.kernel import tracefs
from agent.kernel.tracefs import Tracefs, TracefsError

pytestmark = pytest.mark.kernel


def mounts() -> list[str]:
    """Of tracefs, as this process sees them; others come and go without us."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[2] == "tracefs"]


def test_a_detached_mount_is_seen_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "USUAL_PLACES", (Path("/nowhere"),))
    before = mounts()
    with closing(Tracefs()) as found:
        assert not found.is_mounted
        assert found.has("syscalls:sys_enter_connect")
        assert found.has("sched:sched_process_exit")
        assert not found.has("syscalls:sys_enter_nothing")
        assert not found.has("nothing")
        assert mounts() == before
        descriptor = found.root
    assert not descriptor.exists()
    found.close()


def test_a_mount_in_its_usual_place_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "events" / "net" / "one").mkdir(parents=True)
    (tmp_path / "events" / "net" / "one" / "format").touch()
    monkeypatch.setattr(tracefs, "USUAL_PLACES", (Path("/nowhere"), tmp_path))
    with closing(Tracefs()) as found:
        assert found.is_mounted
        assert found.root == tmp_path
        assert found.has("net:one")


def test_a_private_mount_ends_with_its_process() -> None:
    before = mounts()
    program = (
        "from agent.kernel import tracefs; tracefs.mount_privately(); print(tracefs.mounted());"
        "tracefs.mount_privately(); print(open('/proc/self/mounts').read().count(' tracefs '))"
    )
    root = Path(tracefs.__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    place, count = answer.stdout.split()
    assert Path(place) in tracefs.USUAL_PLACES
    assert int(count) >= 1
    assert mounts() == before


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(TracefsError, match="mount -t tracefs"):
        tracefs._call(tracefs._SYS_FSOPEN, b"no such file system", 0)
