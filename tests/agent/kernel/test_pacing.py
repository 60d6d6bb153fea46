"""agent/kernel/pacing.py on rings in plain memory, programs that wake as bpf/wakeups.h does, and a clock of its own."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.fragments import FRAGMENT
from agent.events.layout import EventKind
from agent.events.source import nobody_is_new
from agent.kernel import pacing
from agent.kernel.pacing import HURRY_SHARE, LOOK_NS, NAMED_KINDS, NEW_NS, Pacer
from agent.kernel.ring import RECORD
from tests.agent.kernel.ring_memory import PayloadMemory, RingMemory
from tests.agent.protocols.payload import READ, fragment

RING_BYTES = 1 << 16
ROOM = RING_BYTES // RECORD.itemsize
HURRY = int(RING_BYTES * HURRY_SHARE) // RECORD.itemsize
"""Events that are not left to wait."""
NEW, LOOK = NEW_NS // 1_000_000, LOOK_NS // 1_000_000
FOR_EVER = 1_000_000
"""Times are in milliseconds."""


class Programs:
    """The programs of the kernel: they write into both rings, and wake who sleeps. Time passes by sleeping only.

    Attributes:
        now_ns: The time.
        plan: What happens when.
        sleeps: How often the reader slept.
        woken: How often it was woken.
    """

    def __init__(self) -> None:
        self.now_ns = 10**15
        self.plan: list[tuple[float, Callable[[], object]]] = []
        self.sleeps = self.woken = 0
        self.events = RingMemory(RING_BYTES)
        self.payload = PayloadMemory(RING_BYTES, 0)
        self._events_left = self._payload_left = 0
        self._is_asked = self._wakes_for_tasks = self._is_woken = False
        self._seen: dict[int, bytes] = {}

    def monotonic_ns(self) -> int:
        return self.now_ns

    def interrupt(self) -> None:
        self._is_woken = True

    def write(self, number: int, thread: int, kind: EventKind, command: bytes, process: int) -> None:
        assert self.events.write(number, kind=kind, command=command, process=process)
        is_new = bool(NAMED_KINDS[kind]) and self._seen.get(thread) != command
        if NAMED_KINDS[kind]:
            self._seen[thread] = command
        self._events_left -= 1
        if self._is_asked and ((is_new and self._wakes_for_tasks) or self._events_left <= 0 or self._payload_left <= 0):
            self._is_asked, self._is_woken = False, True

    def write_payload(self, size: int) -> None:
        assert self.payload.write(fragment(READ, b"x" * size), size) is not None
        self._payload_left -= FRAGMENT.itemsize + size

    def ask(self, events: int, payload_bytes: int, *, new_tasks: bool) -> None:
        assert events > 0
        assert payload_bytes > 0
        self._is_asked = True
        self._events_left, self._payload_left, self._wakes_for_tasks = events, payload_bytes, new_tasks

    def sleep(self, seconds: float) -> bool:
        assert seconds > 0
        self.sleeps += 1
        end_ns = self.now_ns + round(seconds * 1e9)
        while not self._is_woken and self.plan and self.plan[0][0] <= end_ns:
            moment_ns, happens = self.plan.pop(0)
            self.now_ns = max(self.now_ns, round(moment_ns))
            happens()
        woken, self._is_woken = self._is_woken, False
        self.woken += woken
        if not woken:
            self.now_ns = end_ns
        return woken


class Kernel:
    """The programs, and a pacer that waits for what they write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs = Programs()
        monkeypatch.setattr(pacing, "time", self.programs)
        self.events, self.payload = self.programs.events, self.programs.payload
        self.pacer = Pacer(self.events.ring, self.payload.ring, self.programs)
        self.known: set[tuple[int, bytes]] = set()
        self.asked: list[tuple[int, bytes]] = []
        self.began_ns = self.programs.now_ns

    @property
    def now(self) -> float:
        """Since the beginning."""
        return (self.programs.now_ns - self.began_ns) / 1e6

    def is_new(self, process: int, command: bytes) -> bool:
        self.asked.append((process, command.rstrip(b"\0")))
        return (process, command.rstrip(b"\0")) not in self.known

    def at(self, moment: float, happens: Callable[[], object]) -> None:
        self.programs.plan.append((self.began_ns + moment * 1e6, happens))

    def event(
        self,
        number: int = 0,
        *,
        kind: EventKind = READ,
        process: int = 1,
        command: bytes = b"",
        thread: int | None = None,
    ) -> None:
        self.programs.write(number, process if thread is None else thread, kind, command, process)

    def look(self, longest: float = FOR_EVER, *, new: bool = False) -> float:
        """The moment of the next look, which takes everything."""
        self.pacer.wait(longest / 1e3, self.is_new if new else nobody_is_new)
        self.events.ring.take()
        self.payload.ring.take()
        return self.now


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_at_rest_nothing_is_looked_at(kernel: Kernel) -> None:
    assert kernel.look(3 * LOOK) == 3 * LOOK
    assert kernel.programs.sleeps == 3
    assert kernel.programs.woken == 0


def test_what_comes_after_a_rest_is_looked_at_when_a_look_is_due(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.at(5 * LOOK + 0.1, kernel.event)
    assert kernel.look() == 6 * LOOK


def test_few_events_wait_for_others(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    for number in range(100):
        kernel.at(number * LOOK / 20 + 5, partial(kernel.event, thread=1))
    woken = kernel.programs.woken
    looks = [kernel.look() for _ in range(5)]
    assert looks == [LOOK + number * LOOK for number in range(5)]
    assert kernel.events.lost == 0
    assert kernel.programs.woken == woken


def test_a_wait_that_is_over_sooner_is_a_look(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.event()
    assert kernel.look(25) == 25
    kernel.event()
    assert kernel.look() == 25 + LOOK  # counted from that look


def test_who_is_interrupted_looks_at_once(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.at(30, kernel.event)
    kernel.at(40, kernel.pacer.interrupt)
    assert kernel.look() == 40
    kernel.pacer.interrupt()
    assert kernel.look() == 40  # before the wait
    assert kernel.look(3 * LOOK) == 40 + 3 * LOOK  # once


def test_a_ring_that_fills_is_not_left_to_wait(kernel: Kernel) -> None:
    kernel.event()
    assert kernel.look() == 0
    for _ in range(HURRY - 1):
        kernel.event()
    kernel.at(34, kernel.event)
    assert kernel.look() == 34
    assert kernel.programs.woken == 1
    sleeps = kernel.programs.sleeps
    for _ in range(HURRY):
        kernel.event()
    assert kernel.look() == 34  # at once
    assert kernel.programs.sleeps == sleeps


def test_captured_bytes_that_fill_their_ring_are_not_left_to_wait(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    for _ in range(int(RING_BYTES * HURRY_SHARE) // 1088):
        kernel.programs.write_payload(1000)
    kernel.at(40, lambda: kernel.programs.write_payload(1000))
    kernel.at(50, kernel.event)
    assert kernel.look() == 50  # with the event that they belong to


def test_captured_bytes_alone_wait_for_their_events(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.programs.write_payload(128)
    kernel.at(2.5 * LOOK, kernel.event)
    assert kernel.look() == 3 * LOOK  # not woken: the end of the third pause
    assert kernel.programs.sleeps == 3


@pytest.mark.parametrize(
    "kind", [EventKind.CONNECT, EventKind.ACCEPT, EventKind.READ, EventKind.WRITE, EventKind.LISTEN]
)
def test_a_process_that_is_new_is_not_left_to_end(kernel: Kernel, kind: EventKind) -> None:
    kernel.known = {(7, b"curl")}
    kernel.event(process=7, command=b"curl")
    kernel.look(0)
    for number in range(3):
        kernel.at(10 + 10 * number, lambda: kernel.event(process=7, command=b"curl"))
    kernel.at(45, lambda: kernel.event(kind=kind, process=8, command=b"curl"))
    kernel.at(47, lambda: kernel.event(kind=kind, process=9, command=b"curl"))
    assert kernel.look(new=True) == 45
    assert kernel.asked.count((8, b"curl")) == 1
    assert len(kernel.asked) == len(set(kernel.asked))  # who has several events is asked for once
    assert kernel.look(new=True) == 45 + NEW  # at most so often
    assert kernel.programs.woken == 2


def test_a_process_that_is_new_before_the_wait_is_not_left_to_end(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.event(process=8)
    assert kernel.look(new=True) == NEW


def test_a_task_name_that_is_new_is_not_left_to_end(kernel: Kernel) -> None:
    kernel.known = {(7, b"sh")}
    kernel.event(process=7, command=b"sh")
    kernel.look(0)
    kernel.at(20, lambda: kernel.event(process=7, command=b"sh"))
    kernel.at(30, lambda: kernel.event(process=7, command=b"wget"))
    assert kernel.look(new=True) == 30


def test_threads_that_come_and_go_wake_no_more_often_than_new_processes_may(kernel: Kernel) -> None:
    kernel.known = {(1, b"")}
    kernel.event()
    kernel.look(0)
    moments = range(5, 115, 5)
    for moment in moments:
        kernel.at(moment, partial(kernel.event, thread=100 + moment))
    assert kernel.look(114, new=True) == 114
    assert kernel.programs.woken == len(moments[:: (NEW + 5) // 5])  # the next one after each pause
    assert kernel.programs.sleeps == 2 * kernel.programs.woken


@pytest.mark.parametrize(
    "kind",
    sorted(set(EventKind) - {EventKind.CONNECT, EventKind.ACCEPT, EventKind.READ, EventKind.WRITE, EventKind.LISTEN}),
)
def test_nobody_is_named_for_what_ends_or_goes_on(kernel: Kernel, kind: EventKind) -> None:
    kernel.event()
    kernel.look(0)
    kernel.at(20, lambda: kernel.event(kind=kind, process=8))
    assert kernel.look(new=True) == LOOK
    assert kernel.asked == []


def bursts() -> st.SearchStrategy[list[tuple[int, int]]]:
    """Time until the next burst, and its events: never more than the ring has room for beside those that may wait."""
    return st.lists(st.tuples(st.integers(1, 2 * LOOK), st.integers(1, ROOM - HURRY)), max_size=30)


@given(bursts=bursts(), known=st.sets(st.integers(1, 5)))
def test_nothing_waits_long_and_nothing_is_lost(bursts: list[tuple[int, int]], known: set[int]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        kernel = Kernel(monkeypatch)
        kernel.known = {(process, b"") for process in known}
        arrived: list[tuple[float, int]] = []

        def burst(moment: float, events: int) -> None:
            for _ in range(events):
                process = len(arrived) % 5 + 1
                kernel.event(len(arrived), process=process)
                arrived.append((moment, process))

        moment = 0
        for pause, events in bursts:
            moment += pause
            kernel.at(moment, partial(burst, moment, events))
        end = moment + 2 * LOOK
        taken = looks = reasons = 0
        while kernel.now < end:
            kernel.pacer.wait(LOOK / 1e3, kernel.is_new)
            found = kernel.events.ring.take()["bytes"].tolist()
            looks += 1
            reasons += len(found) >= HURRY
            assert found == list(range(taken, taken + len(found)))
            for began, process in (arrived[number] for number in found):
                is_known = (process, b"") in kernel.known
                assert kernel.now - began <= (LOOK if is_known else NEW)
            fresh = {(arrived[number][1], b"") for number in found} - kernel.known
            reasons += bool(fresh)
            kernel.known |= fresh
            taken += len(found)
        assert taken == len(arrived)
        assert looks <= end / LOOK + reasons + 2  # the first one is due as soon as there is something
