"""agent/kernel/source.py: the life of a source."""

import inspect
import os
from pathlib import Path

import pytest

from agent.events.layout import EVENT
from agent.events.source import EventSource
from agent.kernel.losses import INCOMPLETE, LOST, PROGRAM_SKIPPED, RETURN_MISSED
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


def test_nothing_happens(quiet: KernelSource) -> None:
    assert quiet.wait(0)
    assert len(quiet.take()) == 0
    assert quiet.losses() == dict.fromkeys((*LOST, PROGRAM_SKIPPED, RETURN_MISSED), 0)
    assert quiet.incomplete() == dict.fromkeys(INCOMPLETE, 0)


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
