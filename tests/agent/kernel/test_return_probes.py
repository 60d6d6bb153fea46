"""agent/kernel/return_probes.py: what is made, what is counted, and that nothing stays behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.kernel import tracefs
from agent.kernel.hook import Attachment, SourceKind
from agent.kernel.plan import KPROBE_PMU, AttachMode
from agent.kernel.return_probes import ReturnProbes
from agent.kernel.tracefs import Tracefs
from tests.agent.kernel.watching import open_source
from tests.waiting import until

real = pytest.mark.skipif(not KPROBE_PMU.exists(), reason="this kernel has no kprobes")
PAUSE = Attachment("handler", "*_sys_pause").function
DEAD = 1 << 22 | 1  # larger than any process id


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of tracefs: what is written to its files is seen, and not obeyed."""
    (tmp_path / "events").mkdir()
    (tmp_path / "kprobe_events").touch()
    monkeypatch.setattr(tracefs, "USUAL_PLACES", (tmp_path,))
    return tmp_path


def own_group() -> str:
    return f"pyrover_{os.getpid()}_77"


def test_what_is_asked_for(files: Path) -> None:
    with closing(ReturnProbes(Tracefs(), "pyrover_1_2")) as probes:
        assert [probes.create("tcp_sendmsg", 7), probes.create("udp_sendmsg", 4096)] == [
            "pyrover_1_2_0",
            "pyrover_1_2_1",
        ]
    said = (files / "kprobe_events").read_text()
    assert said.startswith("r7:pyrover_1_2/pyrover_1_2_0 tcp_sendmsgr4096:pyrover_1_2/pyrover_1_2_1 udp_sendmsg")


def test_only_the_own_group_is_removed_and_only_groups_without_an_owner_are_stale(files: Path) -> None:
    listed = "".join(
        f"r8:{group}/{group}_{number} tcp_sendmsg\n"
        for group, number in ((own_group(), 0), (f"pyrover_{DEAD}_0", 5), ("other", 1), (own_group() + "7", 2))
    )
    (files / "kprobe_events").write_text(listed)
    probes = ReturnProbes(Tracefs(), own_group())
    probes.remove_stale()
    assert (files / "kprobe_events").read_text() == f"{listed}-:pyrover_{DEAD}_0/pyrover_{DEAD}_0_5"
    (files / "kprobe_events").write_text(listed)
    probes.close()
    assert (files / "kprobe_events").read_text() == f"{listed}-:{own_group()}/{own_group()}_0"


def test_misses_are_added_up_over_the_group(files: Path) -> None:
    probes = ReturnProbes(Tracefs(), "pyrover_1_2")
    assert probes.missed() == 0
    counts = {"pyrover_1_2_0": 3, "pyrover_1_2_1": 4, "pyrover_1_22_0": 50, "other": 60}
    (files / "kprobe_profile").write_text("".join(f"  {name:<44} 12 {missed:>15}\n" for name, missed in counts.items()))
    assert probes.missed() == 7


@contextmanager
def pausing(count: int) -> Iterator[None]:
    """Processes that are inside pause(2)."""
    program = "import signal; signal.pause()"
    children = [subprocess.Popen([sys.executable, "-I", "-c", program]) for _ in range(count)]
    try:

        def are_inside() -> bool:
            assert all(child.poll() is None for child in children)
            return all("pause" in Path(f"/proc/{child.pid}/wchan").read_text() for child in children)

        until(are_inside)
        yield
    finally:
        for child in children:
            child.send_signal(signal.SIGKILL)
            child.wait()


def probes_now() -> str:
    with closing(Tracefs()) as found:
        return (found.root / "kprobe_events").read_text()


@real
@pytest.mark.kernel
def test_the_kernel_counts_the_returns_that_it_misses() -> None:
    with closing(ReturnProbes(Tracefs(), own_group())) as probes:
        name = probes.create(PAUSE, 2)
        with closing(Tracefs()) as found:
            switch = found.root / "events" / own_group() / name / "enable"
            switch.write_text("1")
            try:
                with pausing(6):
                    assert probes.missed() == 4
            finally:
                switch.write_text("0")
    assert own_group() not in probes_now()


@real
@pytest.mark.kernel
def test_what_agents_that_are_gone_have_left_is_removed() -> None:
    left, kept = (ReturnProbes(Tracefs(), group) for group in (f"pyrover_{DEAD}_0", own_group()))
    with closing(kept):
        left.create(PAUSE, 2)
        kept.create(PAUSE, 2)
        kept.remove_stale()
        assert str(DEAD) not in probes_now()
        assert own_group() in probes_now()


@real
@pytest.mark.kernel
def test_a_source_removes_its_probes_and_may_have_many_threads_inside() -> None:
    with open_source(attach=AttachMode.KPROBE, only_processes=()) as source:
        assert source.loaded.return_probes is not None
        group = source.loaded.return_probes.group
        lines = [line for line in probes_now().splitlines() if f":{group}/" in line]
        returns = {a for kind, a in source.loaded.attachments if kind is SourceKind.KPROBE and a.at_return}
        assert len(lines) == len(returns) > 20
        assert all(line.startswith("r4096:") for line in lines)
        assert source.losses()["return_missed"] == 0
    assert f":{group}/" not in probes_now()
