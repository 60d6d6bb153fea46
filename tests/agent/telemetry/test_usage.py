"""agent/telemetry/usage.py, beside what psutil says of the same process.

It is a process of its own: in that of the tests, what others have left behind ends at any time.
"""

import json
import subprocess
import sys

import psutil
import pytest

from agent.telemetry import families

PROGRAM = """
import json, os, sys, threading
from agent.telemetry.usage import read_usage

def tell():
    print(json.dumps({family.name: series[0][1] for family, series in read_usage()}), flush=True)
    sys.stdin.readline()

tell()
ends, done = os.pipe(), threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
tell()
done.set()
thread.join()
"""


def test_it_is_what_psutil_says() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        other = psutil.Process(process.pid)
        told = []
        for _ in range(2):  # after it has told, it stands still until it is sent a line
            found = json.loads(process.stdout.readline())
            told.append(found)
            cpu = other.cpu_times()
            assert cpu.user + cpu.system - 0.5 <= found[families.CPU_SECONDS.name] <= cpu.user + cpu.system
            assert found[families.START_TIME.name] == pytest.approx(other.create_time(), abs=1.5)
            assert found[families.RESIDENT.name] == pytest.approx(other.memory_info().rss, rel=0.05)
            assert found[families.VIRTUAL.name] == pytest.approx(other.memory_info().vms, rel=0.05)
            assert found[families.OPEN_FILES.name] == other.num_fds()
            assert found[families.THREADS.name] == other.num_threads()
            assert found[families.MOST_FILES.name] == other.rlimit(psutil.RLIMIT_NOFILE)[0]
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait(60) == 0
    before, after = told
    assert after[families.OPEN_FILES.name] == before[families.OPEN_FILES.name] + 2
    assert after[families.THREADS.name] == before[families.THREADS.name] + 1
