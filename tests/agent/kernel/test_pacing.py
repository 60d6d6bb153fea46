"""agent/kernel/pacing.py on rings in plain memory and with a clock of its own: which looks are had, and when."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.layout import EventKind
from agent.events.source import nobody_is_new
from agent.kernel import pacing
from agent.kernel.pacing import GLANCE_NS, HURRY_SHARE, LOOK_NS, Pacer
from agent.kernel.ring import RECORD
from tests.agent.kernel.ring_memory import PayloadMemory, RingMemory
from tests.agent.protocols.payload import READ, fragment

RING_BYTES = 1 << 16
ROOM = RING_BYTES // RECORD.itemsize
HURRY = int(RING_BYTES * HURRY_SHARE) // RECORD.itemsize + 1
"""Events that are not left to wait."""
GLANCE, LOOK = GLANCE_NS // 1_000_000, LOOK_NS // 1_000_000
FOR_EVER = 1_000_000
"""Times are in milliseconds."""


@dataclass
class Clock:
    """Time that passes by sleeping only, while things happen when they are to."""

    now_ns: int = 10**15
    plan: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    glances: int = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.glances += 1
        self.now_ns += round(seconds * 1e9)
        while self.plan and self.plan[0][0] <= self.now_ns:
            self.plan.pop(0)[1]()


class Kernel:
    """Both rings, what is written into them, and a pacer that waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(pacing, "time", self.clock)
        self.events = RingMemory(RING_BYTES)
        self.payload = PayloadMemory(RING_BYTES, 0)
        self.pacer = Pacer(self.events.ring, self.payload.ring)
        self.known: set[tuple[int, bytes]] = set()
        self.asked: list[tuple[int, bytes]] = []
        self.began_ns = self.clock.now_ns

    @property
    def now(self) -> float:
        """Since the beginning."""
        return (self.clock.now_ns - self.began_ns) / 1e6

    def is_new(self, process: int, command: bytes) -> bool:
        self.asked.append((process, command.rstrip(b"\0")))
        return (process, command.rstrip(b"\0")) not in self.known

    def at(self, moment: float, happens: Callable[[], object]) -> None:
        self.clock.plan.append((self.began_ns + moment * 1e6, happens))

    def event(self, number: int = 0, **fields: object) -> None:
        assert self.events.write(number, **fields)

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
    assert kernel.look(3000) == 3000
    assert kernel.clock.glances == 3000 / GLANCE


def test_what_comes_after_a_rest_is_looked_at_with_the_next_glance(kernel: Kernel) -> None:
    kernel.at(1000.1, kernel.event)
    assert kernel.look() == 1010


def test_few_events_wait_for_others(kernel: Kernel) -> None:
    for number in range(100):
        kernel.at(number * 10 + 5, kernel.event)
    looks = [kernel.look() for _ in range(10)]
    assert looks == [GLANCE + number * LOOK for number in range(10)]
    assert kernel.events.lost == 0


def test_a_wait_that_is_over_sooner_is_a_look(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.event()
    assert kernel.look(25) == 25
    kernel.event()
    assert kernel.look() == 25 + LOOK  # counted from that look


def test_a_ring_that_fills_is_not_left_to_wait(kernel: Kernel) -> None:
    kernel.event()
    assert kernel.look() == 0
    for _ in range(HURRY - 1):
        kernel.event()
    kernel.at(34, kernel.event)
    assert kernel.look() == 40
    for _ in range(HURRY):
        kernel.event()
    assert kernel.look() == 40  # at once: not even a glance goes by


def test_captured_bytes_that_fill_their_ring_are_not_left_to_wait(kernel: Kernel) -> None:
    kernel.event()
    kernel.look()
    kernel.event()
    one = fragment(READ, b"x" * 1000)
    for _ in range(int(RING_BYTES * HURRY_SHARE) // 1088):
        kernel.payload.write(one, 1000)
    kernel.at(50, lambda: kernel.payload.write(one, 1000))
    assert kernel.look() == 50


def test_captured_bytes_alone_wait_for_their_events(kernel: Kernel) -> None:
    kernel.payload.write(fragment(READ, b"x"), 128)
    kernel.at(500, kernel.event)
    assert kernel.look() == 500


@pytest.mark.parametrize(
    "kind", [EventKind.CONNECT, EventKind.ACCEPT, EventKind.READ, EventKind.WRITE, EventKind.LISTEN]
)
def test_a_process_that_is_new_is_not_left_to_end(kernel: Kernel, kind: EventKind) -> None:
    kernel.known = {(7, b"curl")}
    kernel.event()
    kernel.look(0)
    for number in range(3):
        kernel.at(10 + 10 * number, lambda: kernel.event(process=7, command=b"curl"))
    kernel.at(45, lambda: kernel.event(kind=kind, process=8, command=b"curl"))
    kernel.at(55, lambda: kernel.event(kind=kind, process=9, command=b"curl"))
    assert kernel.look(new=True) == 50
    assert kernel.asked == [(7, b"curl"), (7, b"curl"), (7, b"curl"), (8, b"curl")]  # each event was glanced at once
    assert kernel.look(new=True) == 60


def test_a_task_name_that_is_new_is_not_left_to_end(kernel: Kernel) -> None:
    kernel.known = {(7, b"sh")}
    kernel.event(process=7, command=b"sh")
    kernel.look(0)
    kernel.at(20, lambda: kernel.event(process=7, command=b"sh"))
    kernel.at(30, lambda: kernel.event(process=7, command=b"wget"))
    assert kernel.look(new=True) == 30


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
    """Time until the next burst, and its events: never more than the ring has room for within a glance."""
    return st.lists(st.tuples(st.integers(GLANCE, 300), st.integers(1, ROOM - 2 * HURRY)), max_size=30)


@given(bursts=bursts(), known=st.sets(st.integers(1, 5)))
def test_nothing_waits_long_and_nothing_is_lost(bursts: list[tuple[int, int]], known: set[int]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        kernel = Kernel(monkeypatch)
        kernel.known = {(process, b"") for process in known}
        arrived: list[tuple[float, int]] = []

        def burst(moment: float, events: int) -> None:
            for _ in range(events):
                kernel.event(len(arrived), process=len(arrived) % 5 + 1)
                arrived.append((moment, len(arrived) % 5 + 1))

        moment = 0
        for pause, events in bursts:
            moment += pause
            kernel.at(moment, partial(burst, moment, events))
        end = moment + 1000
        taken = looks = reasons = 0
        while kernel.now < end:
            kernel.pacer.wait(LOOK / 1e3, kernel.is_new)
            found = kernel.events.ring.take()["bytes"].tolist()
            looks += 1
            reasons += len(found) >= HURRY
            assert found == list(range(taken, taken + len(found)))
            for began, process in (arrived[number] for number in found):
                is_known = (process, b"") in kernel.known
                assert kernel.now - began <= (LOOK if is_known else 2 * GLANCE)
            fresh = {(arrived[number][1], b"") for number in found} - kernel.known
            reasons += bool(fresh)
            kernel.known |= fresh
            taken += len(found)
        assert taken == len(arrived)
        assert looks <= end / LOOK + reasons + 1
