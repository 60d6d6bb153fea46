"""agent/kernel/source.py: the life of a source."""

import errno
import inspect
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.events.layout import EVENT, EventKind
from agent.events.source import EventSource
from agent.kernel import pacing
from agent.kernel.loader import LoaderError
from agent.kernel.losses import INCOMPLETE, LOST, PROGRAM_SKIPPED, RETURN_MISSED
from agent.kernel.pacing import NEW_NS
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.plan import UNAVAILABLE
from agent.kernel.source import KernelSource
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


def test_a_source_that_cannot_be_opened_lets_go_of_what_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "no memory for a ring")

    monkeypatch.setattr(PayloadRing, "map", refuse)
    before = open_files()
    with pytest.raises(LoaderError, match="no memory for a ring; give the agent more memory"):
        open_source(only_processes=())
    assert open_files() - before == set()


def test_nothing_happens(quiet: KernelSource) -> None:
    assert quiet.wait(0)
    assert len(quiet.take()) == 0
    assert quiet.losses() == dict.fromkeys((*LOST, PROGRAM_SKIPPED, RETURN_MISSED), 0)
    assert quiet.incomplete() == dict.fromkeys(INCOMPLETE, 0)


def test_waits_are_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests/agent/kernel/test_pacing.py has of plain memory, once with the kernel's."""
    with (
        open_source(only_processes=[os.getpid()]) as source,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to_itself,
    ):
        to_itself.bind(("127.0.0.1", 0))
        to_itself.connect(to_itself.getsockname())
        asked: list[tuple[int, str]] = []
        has_asked = threading.Event()

        def is_new(process: int, command: bytes) -> bool:
            asked.append((process, command.rstrip(b"\0").decode()))
            has_asked.set()
            return len(asked) == 2  # the second time

        def send() -> None:
            to_itself.send(b"x")
            to_itself.recv(1)

        def send_when_asked() -> None:
            assert has_asked.wait(60)
            send()

        clock = [10**15]
        monkeypatch.setattr(pacing, "time", SimpleNamespace(monotonic_ns=lambda: clock[0]))
        source.wait(0)
        source.take()
        asked.clear()
        has_asked.clear()
        clock[0] += NEW_NS  # and stands still from here on, so that no look is ever due
        send()
        with ThreadPoolExecutor(1) as another:
            another.submit(send_when_asked)
            assert source.wait(60, is_new)
        assert asked == [(os.getpid(), Path("/proc/self/comm").read_text().rstrip("\n"))] * 2
        assert source.take()["kind"].tolist() == [EventKind.WRITE, EventKind.READ] * 2
        assert not len(source.take())


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
