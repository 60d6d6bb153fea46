"""bpf/wakeups.h and agent/kernel/wakeups.py on the running kernel: what wakes, and that nothing else does."""

import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.events.kinds import kind_table
from agent.events.layout import EventKind
from agent.kernel.loader import PROGRAMS_FOLDER
from agent.kernel.pacing import NAMED_KINDS
from agent.kernel.source import KernelSource
from agent.kernel.wakeups import KernelWakeups
from tests.agent.kernel.watching import ATTACH, Watch, open_source
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel

MANY = 1 << 40
"""More than will come."""
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * 3000 + b"\r\n\r\n"


class Sleeper:
    """A reader of what this process does, whose main thread the programs know."""

    def __init__(self, source: KernelSource, stack: ExitStack) -> None:
        self.source = source
        maps = source.loaded.maps
        self.wakeups = KernelWakeups(maps["events"], maps["sleeper"])
        stack.callback(self.wakeups.close)
        self._to_itself = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._to_itself.bind(("127.0.0.1", 0))
        self._to_itself.connect(self._to_itself.getsockname())
        self.send()
        self.wakeups.sleep(0)  # a ring with something in it is ready once
        self.ask()

    def ask(self, events: int = MANY, payload_bytes: int = MANY, *, new_tasks: bool = False) -> None:
        self.source.take()
        self.source.take_payload()
        self.wakeups.ask(events, payload_bytes, new_tasks=new_tasks)

    def send(self) -> None:
        """One event, of a write."""
        self._to_itself.send(b"x")

    def is_woken(self) -> bool:
        """Whether it was, by what has been done: the wake-up of a call comes before the call's end, or soon after."""
        return self.wakeups.sleep(0)

    def awaits(self) -> bool:
        return self.wakeups.sleep(PATIENCE)


@pytest.fixture(scope="module")
def source() -> Iterator[KernelSource]:
    with open_source(only_processes=[os.getpid()]) as opened:
        yield opened


@pytest.fixture
def sleeper(source: KernelSource) -> Iterator[Sleeper]:
    with ExitStack() as stack:
        yield Sleeper(source, stack)


def test_who_asked_for_nothing_sleeps_on(sleeper: Sleeper) -> None:
    sleeper.ask()
    for _ in range(100):
        sleeper.send()
    assert len(sleeper.source.take()) == 100
    assert not sleeper.is_woken()


@pytest.mark.parametrize("events", [1, 2, 50])
def test_so_many_events_wake_once(sleeper: Sleeper, events: int) -> None:
    sleeper.ask(events=events)
    for _ in range(events - 1):
        sleeper.send()
    assert not sleeper.is_woken()
    sleeper.send()
    assert sleeper.awaits()
    for _ in range(100):
        sleeper.send()
    assert not sleeper.is_woken()
    sleeper.ask(events=1)
    sleeper.send()
    assert sleeper.awaits()


def test_an_interruption_wakes_once(sleeper: Sleeper) -> None:
    with ThreadPoolExecutor(1) as another:
        asleep = another.submit(sleeper.awaits)
        sleeper.wakeups.interrupt()
        assert asleep.result(PATIENCE)
    assert not sleeper.is_woken()
    sleeper.wakeups.interrupt()  # before the sleep
    sleeper.wakeups.interrupt()
    assert sleeper.is_woken()
    assert not sleeper.is_woken()


def test_an_interruption_hides_no_event(sleeper: Sleeper) -> None:
    sleeper.ask(events=1)
    sleeper.wakeups.interrupt()
    sleeper.send()
    assert sleeper.is_woken()  # by both
    assert not sleeper.is_woken()
    assert len(sleeper.source.take()) == 1


def test_each_message_of_a_call_counts(sleeper: Sleeper) -> None:
    sleeper.ask(events=64)
    with Watch(sleeper.source).started("udp_burst", host="127.0.0.1", count=64) as child:
        child.wait(PATIENCE)
    assert sleeper.awaits()


def test_captured_bytes_wake_with_their_event() -> None:
    with (
        KernelSource.open(attach=ATTACH, only_processes=[os.getpid()]) as source,  # bytes take the stages' hooks
        ExitStack() as stack,
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
        listening.accept()[0] as server,
    ):
        sleeper = Sleeper(source, stack)
        sleeper.ask(payload_bytes=100_000)
        client.sendall(REQUEST)
        captured = sum(fragment.length for fragment in sleeper.source.take_payload())
        assert captured == len(REQUEST)
        assert not sleeper.is_woken()
        assert server.recv(len(REQUEST), socket.MSG_WAITALL) == REQUEST
        sleeper.ask(payload_bytes=captured)
        client.sendall(REQUEST)
        assert sleeper.awaits()
        assert EventKind.WRITE in sleeper.source.take()["kind"]


def test_a_task_wakes_when_it_is_seen_first(sleeper: Sleeper) -> None:
    sleeper.ask(new_tasks=True)
    sleeper.send()
    assert not sleeper.is_woken()  # this one has been
    with ThreadPoolExecutor(1) as another:
        another.submit(sleeper.send).result(PATIENCE)
        assert sleeper.awaits()
        sleeper.ask(new_tasks=True)
        another.submit(sleeper.send).result(PATIENCE)
        assert not sleeper.is_woken()


def test_a_task_that_is_seen_first_wakes_only_who_asked_for_that(sleeper: Sleeper) -> None:
    sleeper.ask()
    with ThreadPoolExecutor(1) as another:
        another.submit(sleeper.send).result(PATIENCE)
        assert not sleeper.is_woken()
        sleeper.ask(new_tasks=True)
        another.submit(sleeper.send).result(PATIENCE)
        assert not sleeper.is_woken()  # it was seen all the same


def test_a_task_with_another_name_wakes(sleeper: Sleeper) -> None:
    name = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
    before = name.read_text().rstrip("\n")
    sleeper.ask(new_tasks=True)
    try:
        name.write_text("another")
        sleeper.send()
        assert sleeper.awaits()
    finally:
        name.write_text(before)


def test_a_number_that_comes_back_is_another_task(sleeper: Sleeper) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:  # others may take a number first, and keep it
        with ThreadPoolExecutor(1) as another:
            number = another.submit(threading.get_native_id).result(PATIENCE)
            another.submit(sleeper.send).result(PATIENCE)
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        with ThreadPoolExecutor(1) as again:
            if again.submit(threading.get_native_id).result(PATIENCE) == number:
                sleeper.ask(new_tasks=True)
                again.submit(sleeper.send).result(PATIENCE)
                assert sleeper.awaits()
                return
        assert time.monotonic() < deadline, "no thread got the number of another one again"


def test_tasks_that_share_a_place_wake_in_turn(sleeper: Sleeper) -> None:
    """Which bounds what is remembered: of two whose numbers end alike, the programs know the latest."""
    text = (PROGRAMS_FOLDER / "wakeups.h").read_text()
    places = int(text.split("#define SEEN_TASKS ")[1].split()[0])
    deadline = time.monotonic() + PATIENCE
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    with ThreadPoolExecutor(1) as one:
        number = one.submit(threading.get_native_id).result(PATIENCE)
        most = int(Path("/proc/sys/kernel/pid_max").read_text())
        for step in itertools.count(1):  # what stays may have the next number that ends alike, or the one after it
            last_pid.write_text(str(max((number + step * places) % most - 1, 0)))
            with ThreadPoolExecutor(1) as other:
                if other.submit(threading.get_native_id).result(PATIENCE) % places == number % places:
                    for _ in range(2):
                        for task in (one, other):
                            sleeper.ask(new_tasks=True)
                            task.submit(sleeper.send).result(PATIENCE)
                            assert sleeper.awaits()
                    return
            assert time.monotonic() < deadline, f"no thread got a number that ends like {number}"


def test_both_sides_name_processes_by_the_same_events() -> None:
    text = (PROGRAMS_FOLDER / "events.h").read_text().split("#define NAMING_EVENTS ")[1].split("\n\n")[0]
    kinds = [EventKind[name] for name in re.findall(r"1 << EVENT_(\w+)", text)]
    assert (kind_table(kinds) == NAMED_KINDS).all()
