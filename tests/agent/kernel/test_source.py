"""agent/kernel/source.py: the life of a source."""

import inspect
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.events.layout import EVENT
from agent.events.source import EventSource
from agent.kernel import source as source_module
from agent.kernel.losses import INCOMPLETE, LOST, PROGRAM_SKIPPED, RETURN_MISSED
from agent.kernel.plan import UNAVAILABLE
from agent.kernel.ring import RECORD
from agent.kernel.source import HURRY_SHARE, LOOK_SECONDS, KernelSource
from tests.agent.kernel.watching import NO_STAGES, open_source
from tests.descriptors import open_files

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def quiet() -> KernelSource:
    """A source that watches nobody, closed by the last test."""
    return open_source(only_processes=())


def test_it_is_an_event_source(quiet: KernelSource) -> None:
    as_interface: EventSource = quiet
    assert as_interface.take().dtype == EVENT
    for name in ("take", "wait", "losses", "close"):
        assert inspect.signature(getattr(EventSource, name)) == inspect.signature(getattr(KernelSource, name))


def test_nothing_happens(quiet: KernelSource) -> None:
    assert quiet.wait(0)
    assert len(quiet.take()) == 0
    assert quiet.losses() == dict.fromkeys((*LOST, PROGRAM_SKIPPED, RETURN_MISSED), 0)
    assert quiet.incomplete() == dict.fromkeys(INCOMPLETE, 0)


@dataclass
class Clock:
    """Time that passes by sleeping only."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_few_events_wait_for_the_next_look_and_many_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(source_module, "time", clock)
    with (
        open_source(only_processes=[os.getpid()], ring_bytes=1 << 16) as source,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to_itself,
    ):
        to_itself.bind(("127.0.0.1", 0))
        to_itself.connect(to_itself.getsockname())
        source.wait(0)
        source.take()
        clock.slept.clear()

        def send(datagrams: int) -> None:
            for _ in range(datagrams):
                to_itself.send(b"x")
                to_itself.recv(1)

        send(1)
        clock.now += LOOK_SECONDS / 4
        assert source.wait(60)
        assert clock.slept == [pytest.approx(LOOK_SECONDS * 3 / 4)]
        assert len(source.take()) == 2
        send(1)
        clock.now += LOOK_SECONDS
        assert source.wait(60)  # it is due
        assert len(clock.slept) == 1
        assert len(source.take()) == 2
        many = int((1 << 16) * HURRY_SHARE) // RECORD.itemsize // 2 + 1
        send(many)
        assert source.wait(60)
        assert len(clock.slept) == 1
        assert len(source.take()) == 2 * many
        before = clock.now
        assert source.wait(1)
        assert clock.now == pytest.approx(before + 1)
        assert len(source.take()) == 0


def test_every_system_call_is_covered(quiet: KernelSource) -> None:
    assert quiet.coverage.can_run
    missing = [planned for planned in quiet.coverage.hooks if not planned.is_attached]
    assert {planned.hook.name for planned in missing} == NO_STAGES
    assert {reason for planned in missing for reason in planned.reasons.values()} == {UNAVAILABLE}
    assert set(quiet.coverage.lost) == {text for planned in missing for text in planned.hook.lost}


def test_all_processes_cannot_be_chosen_from() -> None:
    with open_source() as source:
        with pytest.raises(ValueError, match="open with only_processes"):
            source.choose(1)
        source.exclude(os.getpid())


def test_a_mode_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        KernelSource.open(attach="nonsense")


def test_a_hook_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no hook is named reed"):
        KernelSource.open(unavailable=["reed"])


def test_after_close_there_is_nothing(quiet: KernelSource) -> None:
    descriptors = [*quiet.loaded.maps.values(), *quiet.loaded.programs.values(), *quiet.loaded.attachments.values()]
    held = {file for file in open_files() if int(file[0]) in descriptors}
    assert len(held) == len(set(descriptors))
    mapped = Path("/proc/self/maps").read_text().count("bpf-map")
    quiet.close()
    quiet.close()
    assert not quiet.wait(60)
    with pytest.raises(ValueError, match="closed"):
        quiet.take()
    assert not held & open_files()
    assert Path("/proc/self/maps").read_text().count("bpf-map") == mapped - 4  # each ring is mapped in two parts
