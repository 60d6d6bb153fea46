"""bpf/process.c on the running kernel: the filter of excluded processes holds nothing of those that have ended."""

from collections.abc import Callable, Iterator

import pytest

from agent.events.layout import EventKind
from agent.kernel import bpf_maps
from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch, open_source
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel

ENTRIES = 4


@pytest.fixture(scope="module")
def source() -> Iterator[KernelSource]:
    # Of all processes of this machine, whatever else it does meanwhile.
    with open_source(ring_bytes=64 << 20, options=Options(filter_entries=ENTRIES)) as opened:
        yield opened


def _is_excluded(source: KernelSource, process: int) -> bool:
    return bpf_maps.lookup(source.loaded.maps["excluded_processes"], process.to_bytes(4, "little"), 1) is not None


def test_excluded_processes_are_forgotten_when_they_end(source: KernelSource) -> None:
    for _ in range(ENTRIES + 2):
        with Watch(source).started("transfers", host="127.0.0.1", sizes=[5], begin=source.exclude) as hidden:
            hidden.wait(PATIENCE)
        assert not _is_excluded(source, hidden.pid)


def test_the_end_of_a_thread_is_not_that_of_an_excluded_process(source: KernelSource) -> None:
    with Watch(source).started("threads_end", count=5, begin=source.exclude) as hidden:
        hidden.wait(PATIENCE)
    kinds = _until_another_has_ended(source)
    # Before it is excluded, a child that Python starts closes what it must not inherit.
    assert kinds(hidden.pid) <= {EventKind.CLOSE_RANGE}


def test_a_process_that_is_included_again_is_seen(source: KernelSource) -> None:
    def begin(process: int) -> None:
        source.exclude(process)
        source.include(process)
        source.include(process)

    with Watch(source).started("transfers", host="127.0.0.1", sizes=[5], begin=begin) as seen:
        seen.wait(PATIENCE)
    kinds = _until_another_has_ended(source)
    assert kinds(seen.pid) >= {EventKind.WRITE, EventKind.PROCESS_EXIT}


def _until_another_has_ended(source: KernelSource) -> Callable[[int], set[int]]:
    """The kinds of events of a process, of all events until those of another one, which began later."""
    watch = Watch(source)
    with watch.started("transfers", host="127.0.0.1", sizes=[5], begin=lambda _: None) as last:
        last.wait(PATIENCE)
    events = watch.until_end(last.pid)
    return lambda process: set(events["kind"][events["process"] == process].tolist())
