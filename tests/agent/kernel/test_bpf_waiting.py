"""bpf/stages_waiting.h, compiled for this machine: how long packages have waited, also where nobody keeps order."""

import ctypes
import shutil
import subprocess
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.loader import PROGRAMS_FOLDER

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

GROUPS = 8
BOOTED = 30 * 24 * 3600 * 10**9
"""Nanoseconds on the clock when a test begins: those of a machine that has run for a month."""

SOURCE = """\
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
#define __always_inline inline __attribute__((always_inline))
#include "stages_waiting.h"
void queue(struct waiting_queue *queue, u32 end, u64 now) { queue_received(queue, end, now); }
u64 take(struct waiting_queue *queue, u32 reached, u64 now) { return take_waiting(queue, reached, now); }
u64 size(void) { return sizeof(struct waiting_queue); }
"""


class Group(ctypes.Structure):
    _fields_ = (
        ("first_ns", ctypes.c_uint64),
        ("later_ns", ctypes.c_uint64),
        ("end", ctypes.c_uint32),
        ("packages", ctypes.c_uint32),
    )


class Queue(ctypes.Structure):
    _fields_ = (("groups", Group * GROUPS), ("first", ctypes.c_uint32), ("next", ctypes.c_uint32))


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("waiting")
    source = folder / "waiting.c"
    source.write_text(SOURCE)
    library = folder / "waiting.so"
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", f"-I{PROGRAMS_FOLDER}", "-o", library, source], check=True
    )
    loaded = ctypes.CDLL(str(library))
    loaded.queue.argtypes = (ctypes.POINTER(Queue), ctypes.c_uint32, ctypes.c_uint64)
    loaded.queue.restype = None
    loaded.take.argtypes = loaded.queue.argtypes
    loaded.take.restype = loaded.size.restype = ctypes.c_uint64
    assert loaded.size() == ctypes.sizeof(Queue)
    return loaded


class Model:
    """What `Queue` is to do while one thing happens after the other: groups of (arrivals, end)."""

    def __init__(self) -> None:
        self._groups: deque[tuple[list[int], int]] = deque()

    def queue(self, end: int, now: int) -> None:
        arrivals = self._groups.pop()[0] if len(self._groups) == GROUPS else []
        self._groups.append(([*arrivals, now], end))

    def take(self, reached: int, now: int) -> int:
        waited = 0
        while self._groups and self._groups[0][1] <= reached:
            waited += sum(now - arrival for arrival in self._groups.popleft()[0])
        return waited


STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 10**9), st.integers(0, 5)), max_size=60)
"""Whether it is read, nanoseconds since the step before, and how far behind the last package the reader is."""


@given(STEPS)
def test_each_package_waits_from_its_arrival_until_it_is_read(
    functions: ctypes.CDLL, steps: list[tuple[bool, int, int]]
) -> None:
    queue, model = Queue(), Model()
    now, end = BOOTED, 100
    for reads, passed, behind in steps:
        now += passed
        if reads:
            assert functions.take(queue, end - behind, now) == model.take(end - behind, now)
        else:
            end += 1
            functions.queue(queue, end, now)
            model.queue(end, now)


def test_two_readers_that_take_the_last_group_at_once_leave_a_queue_that_works(functions: ctypes.CDLL) -> None:
    queue = Queue()
    functions.queue(queue, 1, BOOTED)
    assert functions.take(queue, 1, BOOTED + 5) == 5
    queue.first += 1  # both saw a group, and both said that they took it
    for end in range(2, 30):
        assert functions.take(queue, end - 1, BOOTED + 10 * end) <= 10
        functions.queue(queue, end, BOOTED + 10 * end)
    assert functions.take(queue, 29, BOOTED + 297) == 7
    assert queue.first == queue.next


def test_a_group_that_is_taken_twice_is_told_once(functions: ctypes.CDLL) -> None:
    queue = Queue()
    functions.queue(queue, 1, BOOTED)
    assert functions.take(queue, 1, BOOTED + 5) == 5
    queue.first -= 1  # the other reader's number was written last
    assert functions.take(queue, 1, BOOTED + 6) == 0


def test_a_slot_that_two_processors_counted_twice_tells_nothing_of_what_was_in_it(functions: ctypes.CDLL) -> None:
    queue = Queue()
    for end in range(1, 2 * GROUPS + 1):
        functions.queue(queue, end, BOOTED + end)
        functions.take(queue, end, BOOTED + end)
    queue.next += 1
    assert functions.take(queue, 100, BOOTED + 10**12) == 0


def test_a_package_that_came_after_the_reader_looked_at_the_clock_has_not_waited(functions: ctypes.CDLL) -> None:
    queue = Queue()
    functions.queue(queue, 1, BOOTED + 50)
    assert functions.take(queue, 1, BOOTED) == 0


@pytest.mark.parametrize("missing", ["later_ns", "packages"])
def test_an_addition_that_a_reader_does_not_see_yet_is_no_time_since_the_machine_started(
    functions: ctypes.CDLL, missing: str
) -> None:
    queue = Queue()
    for end in range(GROUPS):
        functions.queue(queue, end, BOOTED)
    last = queue.groups[GROUPS - 1]
    before = getattr(last, missing)
    functions.queue(queue, GROUPS, BOOTED + 100)
    setattr(last, missing, before)
    waited = functions.take(queue, GROUPS, BOOTED + 300)
    assert (GROUPS - 1) * 300 <= waited <= (GROUPS + 1) * 300


def test_a_group_that_was_taken_while_it_grows_begins_anew(functions: ctypes.CDLL) -> None:
    queue = Queue()
    for end in range(GROUPS):
        functions.queue(queue, end, BOOTED)
    queue.groups[GROUPS - 1].packages = 0  # a reader has taken it, and has not said so yet
    functions.queue(queue, GROUPS, BOOTED + 100)
    assert functions.take(queue, GROUPS, BOOTED + 300) == (GROUPS - 1) * 300 + 200
