"""agent/telemetry/usage.py, beside what psutil says of this process."""

import os
import threading

import psutil
import pytest

from agent.telemetry import families
from agent.telemetry.usage import read_usage


def test_it_is_what_psutil_says() -> None:
    other = psutil.Process()
    before = other.cpu_times()
    figures = {family: series[0][1] for family, series in read_usage()}
    after = other.cpu_times()
    assert before.user + before.system - 0.011 <= figures[families.CPU_SECONDS] <= after.user + after.system + 0.011
    assert figures[families.START_TIME] == pytest.approx(other.create_time(), abs=1.5)
    assert figures[families.RESIDENT] == pytest.approx(other.memory_info().rss, rel=0.05)
    assert figures[families.VIRTUAL] == pytest.approx(other.memory_info().vms, rel=0.05)
    assert figures[families.THREADS] == other.num_threads()
    assert figures[families.MOST_FILES] == other.rlimit(psutil.RLIMIT_NOFILE)[0]


def test_descriptors_and_threads_are_counted() -> None:
    def figures() -> tuple[float, float]:
        found = {family: series[0][1] for family, series in read_usage()}
        return found[families.OPEN_FILES], found[families.THREADS]

    descriptors, threads = figures()
    ends, done = os.pipe(), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert figures() == (descriptors + 2, threads + 1)
    finally:
        done.set()
        thread.join()
        for end in ends:
            os.close(end)
