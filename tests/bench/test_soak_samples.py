"""bench/soak_samples.py, bench/soak_churn.py: samples are what the kernel shows, and work that fails is counted."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.soak import find_library
from bench.soak_churn import Churn, Library, call, run_program
from bench.soak_samples import Sampler, gone_programs, process_figures
from tests.e2e.programs import program, read_line
from tests.waiting import PATIENCE, until

HOLDER = """
import os, sys, threading
print(flush=True)
sys.stdin.readline()
opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(7)]
threading.Thread(target=sys.stdin.readline).start()
memory = b"x" * (64 << 20)
print(flush=True)
"""


def test_descriptors_threads_mappings_and_memory_are_those_of_the_process() -> None:
    command = [sys.executable, "-c", HOLDER]
    with program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        read_line(holder.stdout.fileno(), "the program")
        before = process_figures(holder.pid)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        read_line(holder.stdout.fileno(), "the program")
        after = process_figures(holder.pid)
    assert after["descriptors"] - before["descriptors"] == 7
    assert after["descriptors of probes"] == before["descriptors of probes"] == 0
    assert after["threads"] - before["threads"] == 1
    assert after["memory, MiB"] - before["memory, MiB"] == pytest.approx(64, abs=4)
    assert after["mappings"] > before["mappings"]  # the thread's stack, and perhaps a heap of its own


def test_programs_that_are_gone_are_counted_by_their_ids() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    keys = [process.to_bytes(4, sys.byteorder) for process in (os.getpid(), ended.pid, 1)]
    assert gone_programs(keys) == 1


def test_samples_that_a_program_does_not_give_are_counted() -> None:
    turns = iter(range(1_000_000))

    def sometimes() -> dict[str, float]:
        if (turn := next(turns)) % 2:
            raise ProcessLookupError
        return {"turn": float(turn)}

    sampler = Sampler({"steady": lambda: {"one": 1.0}, "sometimes": sometimes}, 0.001)
    until(lambda: sampler.missed["sometimes"] >= 5, "five samples that are missed")
    sampler.stop()
    given = sampler.values["sometimes"]["turn"]
    assert given == [2.0 * number for number in range(len(given))]
    assert len(sampler.seconds["sometimes"]) == len(given)
    assert sampler.seconds["steady"] == sorted(sampler.seconds["steady"])
    assert len(given) + sampler.missed["sometimes"] == len(sampler.seconds["steady"])
    assert sampler.missed["steady"] == 0


def test_work_that_fails_is_counted_by_its_reason_and_the_rest_goes_on() -> None:
    churn = Churn()
    numbers: list[int] = []

    def work(number: int) -> None:
        numbers.append(number)
        if number % 3 == 0:
            raise TimeoutError

    churn.start("work", 1_000, work)
    churn.start("programs", 1_000, run_program)
    until(lambda: churn.done["work"] >= 6 and churn.done["programs"] >= 2, "both have worked")
    churn.stop()
    assert numbers == list(range(len(numbers)))
    assert churn.failed == {"work: TimeoutError": len(numbers[::3])}
    assert churn.done["work"] == len(numbers) - len(numbers[::3])


def test_nobody_there_is_an_error_and_not_a_call() -> None:
    with pytest.raises(ConnectionRefusedError):
        call(1)


def test_a_library_is_replaced_by_another_file_while_a_program_has_it_mapped(tmp_path: Path) -> None:
    original = find_library()
    library = Library(tmp_path / "library", original)
    copy = tmp_path / "library" / original.name
    inodes = {copy.stat().st_ino}
    with copy.open("rb") as held:  # so that its number is not given to the next one
        library.replace(0)
        inodes.add(copy.stat().st_ino)
        assert held.read() == copy.read_bytes() == original.read_bytes()
    assert len(inodes) == 2
    assert [path.name for path in copy.parent.iterdir()] == [original.name]


def test_the_latest_samples_are_those_of_the_programs_that_gave_one() -> None:
    taken = threading.Event()
    turns = iter(range(1_000_000))

    def counting() -> dict[str, float]:
        if (turn := next(turns)) >= 3:
            taken.set()
            raise ProcessLookupError
        return {"turn": float(turn), "twice": 2.0 * turn}

    def never() -> dict[str, float]:
        raise ProcessLookupError

    sampler = Sampler({"counting": counting, "never": never}, 0.001)
    assert taken.wait(PATIENCE)
    assert sampler.latest() == {"counting": {"turn": 2.0, "twice": 4.0}}
    sampler.stop()
