"""bpf/maps.h on the running kernel: every bound is hit, and what did not fit is counted."""

import errno
import os
import re
from collections.abc import Iterator

import pytest

from agent.events.layout import EventKind, SystemCall
from agent.kernel.loader import PROGRAMS_FOLDER
from agent.kernel.loader_options import Options
from agent.kernel.losses import COUNTERS, INCOMPLETE
from agent.kernel.ring import RECORD
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch, open_source
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def small_ring() -> Iterator[KernelSource]:
    with open_source(only_processes=(), ring_bytes=PAGE) as source:
        yield source


@pytest.fixture(scope="module")
def small_maps() -> Iterator[KernelSource]:
    bounds = Options(in_flight_entries=4, connecting_entries=4, filter_entries=4)
    with open_source(only_processes=(), options=bounds) as source:
        yield source


class Counting:
    """What a source counts from now on."""

    def __init__(self, source: KernelSource) -> None:
        source.take()
        self._source = source
        self._before = self._read()

    def __call__(self, name: str) -> int:
        return self._read()[name] - self._before[name]

    def others(self, *names: str) -> set[int]:
        return {self(name) for name in self._before if name not in names}

    def _read(self) -> dict[str, int]:
        return {**self._source.losses(), **self._source.incomplete()}


def test_a_full_ring_loses_exactly_what_is_not_taken(small_ring: KernelSource) -> None:
    count = Counting(small_ring)
    with Watch(small_ring).started("flood", count=5003) as child:
        child.wait(PATIENCE)
    taken = small_ring.take()
    assert len(taken) == PAGE // RECORD.itemsize
    # 5003 writes, one connect, two closes, one end of a process.
    assert len(taken) + count("ring_full") == 5003 + 4
    assert count.others("ring_full") == {0}


def test_what_is_taken_makes_room(small_ring: KernelSource) -> None:
    count = Counting(small_ring)
    for floods in (1, 2, 3):
        with Watch(small_ring).started("flood", count=503) as child:
            child.wait(PATIENCE)
        assert len(small_ring.take()) == PAGE // RECORD.itemsize
        assert count("ring_full") == floods * (503 + 4 - PAGE // RECORD.itemsize)


def test_what_comes_while_others_are_taken_is_taken_or_counted(small_ring: KernelSource) -> None:
    count = Counting(small_ring)
    taken = 0
    with Watch(small_ring).started("flood", count=20011) as child:
        while child.poll() is None:
            taken += len(small_ring.take())
    taken += len(small_ring.take())
    assert taken + count("ring_full") == 20011 + 4


def test_calls_beyond_the_bound_are_counted(small_maps: KernelSource) -> None:
    count = Counting(small_maps)
    run = Watch(small_maps).run("blocked_readers", count=16)
    assert run.result["got"] == 16
    reads, writes = run.of(EventKind.READ), run.of(EventKind.WRITE)
    assert len(reads) == 4
    assert count("in_flight_full") >= 12
    assert len(reads) + len(writes) + count("in_flight_full") == 32
    assert count.others("in_flight_full") == {0}


def test_connects_beyond_the_bound_are_counted(small_maps: KernelSource) -> None:
    count = Counting(small_maps)
    watch = Watch(small_maps)
    run = watch.run("connecting", count=10)
    given_up = [event for event in run.of(EventKind.CONNECT) if event["result"] == -errno.ECANCELED]
    assert len(given_up) == 4
    assert count("connecting_full") == 6
    assert count.others("connecting_full") == {0}
    # The places are free again.
    assert len(watch.run("nonblocking", host="127.0.0.1", count=23).of(EventKind.CONNECT)) == 23
    assert count("connecting_full") == 6


def test_messages_beyond_the_bound_are_counted(shared_source: KernelSource) -> None:
    count = Counting(shared_source)
    run = Watch(shared_source).run("udp_burst", host="127.0.0.1", count=200)
    writes = run.of(EventKind.WRITE)
    assert run.result["sent"] == 200
    assert set(writes["system_call"]) == {SystemCall.SENDMMSG}
    assert set(writes["bytes"]) == {2}
    assert len(writes) + count("messages_beyond_bound") == 200
    assert len(writes) == 64
    assert count.others("messages_beyond_bound") == {0}


def test_filters_are_bounded_and_forget_processes_that_end(small_maps: KernelSource) -> None:
    for _ in range(9):
        Watch(small_maps).run("failed_accept")
    for process in range(4):
        small_maps.exclude(1 << 22 | process)
    with pytest.raises(OSError, match=os.strerror(errno.E2BIG)):
        small_maps.exclude(1 << 22 | 5)


def test_an_excluded_process_is_not_seen_and_all_others_are() -> None:
    # Of all processes of this machine, whatever else it does meanwhile.
    with open_source(ring_bytes=64 << 20) as source:
        watch = Watch(source)
        with watch.started("transfers", host="127.0.0.1", sizes=[5], begin=source.exclude) as hidden:
            hidden.wait(PATIENCE)
        with watch.started("transfers", host="127.0.0.1", sizes=[5], begin=lambda _: None) as seen:
            seen.wait(PATIENCE)
        events = watch.until_end(seen.pid)
        # Before it is excluded, a child that Python starts closes what it must not inherit.
        assert set(events["kind"][events["process"] == hidden.pid]) <= {EventKind.CLOSE_RANGE}
        writes = events[(events["process"] == seen.pid) & (events["kind"] == EventKind.WRITE)]
        assert int(writes["bytes"].sum()) == 5 * 15


def test_names_follow_the_order_of_the_programs() -> None:
    text = (PROGRAMS_FOLDER / "maps.h").read_text()
    names = re.findall(r"^    (LOST|INCOMPLETE)_(\w+) = (\d+),", text, re.MULTILINE)
    assert [name.lower() for _, name, _ in names] == list(COUNTERS)
    assert [int(number) for *_, number in names] == list(range(len(COUNTERS)))
    assert tuple(name.lower() for kind, name, _ in names if kind == "INCOMPLETE") == INCOMPLETE
    assert re.search(rf"COUNTERS = {len(COUNTERS)},", text)
