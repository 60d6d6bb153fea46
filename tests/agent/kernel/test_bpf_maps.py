"""bpf/maps.h on the running kernel: every bound is hit, and what did not fit is counted."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from agent.events.layout import EventKind, SystemCall
from agent.kernel.loader import PROGRAMS_FOLDER, Options
from agent.kernel.losses import COUNTERS, INCOMPLETE
from agent.kernel.ring import RECORD
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch

pytestmark = pytest.mark.kernel

PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def opened(**arguments: Any) -> Iterator[Watch]:  # noqa: ANN401 # passed on as they are
    with KernelSource.open(only_processes=(), **arguments) as source:
        yield Watch(source)


def nothing_else(source: KernelSource, *counted: str) -> None:
    others = {name: number for name, number in source.losses().items() if name not in counted}
    assert set(others.values()) == {0}
    assert set(source.incomplete().values()) == {0}


def test_a_full_ring_loses_exactly_what_is_not_taken() -> None:
    with opened(ring_bytes=PAGE) as watch:
        with watch.started("flood", count=5003) as child:
            child.wait(60)
        taken = watch.source.take()
        assert len(taken) == PAGE // RECORD.itemsize
        # 5003 writes, one connect, two closes, one end of a process.
        assert len(taken) + watch.source.losses()["ring_full"] == 5003 + 4
        nothing_else(watch.source, "ring_full")


def test_what_is_taken_makes_room() -> None:
    with opened(ring_bytes=PAGE) as watch:
        count = 0
        with watch.started("flood", count=20011) as child:
            while child.poll() is None:
                count += len(watch.source.take())
        count += len(watch.source.take())
        assert count > PAGE // RECORD.itemsize
        assert count + watch.source.losses()["ring_full"] == 20011 + 4


def test_calls_beyond_the_bound_are_counted() -> None:
    with opened(options=Options(in_flight_entries=4)) as watch:
        run = watch.run("blocked_readers", count=16)
        assert run.result["got"] == 16
        reads, writes = run.of(EventKind.READ), run.of(EventKind.WRITE)
        assert len(reads) == 4
        lost = watch.source.losses()["in_flight_full"]
        assert lost >= 12
        assert len(reads) + len(writes) + lost == 32
        nothing_else(watch.source, "in_flight_full")


def test_connects_beyond_the_bound_are_counted() -> None:
    with opened(options=Options(connecting_entries=4)) as watch:
        run = watch.run("connecting", count=10)
        given_up = [event for event in run.of(EventKind.CONNECT) if event["result"] == -errno.ECANCELED]
        assert len(given_up) == 4
        assert watch.source.losses()["connecting_full"] == 6
        nothing_else(watch.source, "connecting_full")
        # The places are free again.
        assert len(watch.run("nonblocking", host="127.0.0.1", count=23).of(EventKind.CONNECT)) == 23
        assert watch.source.losses()["connecting_full"] == 6


def test_messages_beyond_the_bound_are_counted() -> None:
    with opened() as watch:
        run = watch.run("udp_burst", host="127.0.0.1", count=200)
        writes = run.of(EventKind.WRITE)
        assert run.result["sent"] == 200
        assert set(writes["system_call"]) == {SystemCall.SENDMMSG}
        assert set(writes["bytes"]) == {2}
        assert len(writes) + watch.source.losses()["messages_beyond_bound"] == 200
        assert len(writes) == 64
        nothing_else(watch.source, "messages_beyond_bound")


def test_filters_are_bounded_and_forget_processes_that_end() -> None:
    with opened(options=Options(filter_entries=4)) as watch:
        for _ in range(9):
            watch.run("failed_accept")
        for process in range(4):
            watch.source.exclude(1 << 22 | process)
        with pytest.raises(OSError, match=os.strerror(errno.E2BIG)):
            watch.source.exclude(1 << 22 | 5)


def test_an_excluded_process_is_not_seen_and_all_others_are() -> None:
    with KernelSource.open() as source:
        watch = Watch(source)
        with watch.started("transfers", host="127.0.0.1", sizes=[5], begin=source.exclude) as hidden:
            hidden.wait(60)
        with watch.started("transfers", host="127.0.0.1", sizes=[5], begin=lambda _: None) as seen:
            seen.wait(60)
        events = source.take()
        while EventKind.PROCESS_EXIT not in events["kind"][events["process"] == seen.pid]:
            events = np.concatenate((events, source.take()))
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
