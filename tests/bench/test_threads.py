"""bench/threads.py: the sums over threads of a folder made for it, and of this process."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.threads import Activity

ROOT = Path(__file__).parents[2]


def test_sums_over_all_threads(tmp_path: Path) -> None:
    for thread, running_ns, waits in ((7, 1_500_000, 20), (8, 42, 3)):
        folder = tmp_path / "7" / "task" / str(thread)
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(f"{running_ns} 999 55\n")
        (folder / "status").write_text(
            f"Name:\ta\nvoluntary_ctxt_switches:\t{waits}\nnonvoluntary_ctxt_switches:\t1000\n"
        )
    (tmp_path / "7" / "task" / "9").mkdir()  # ends while it is read
    assert Activity.of(7, tmp_path) == Activity(1_500_042, 23)


def test_what_was_done_since() -> None:
    assert Activity(900, 12) - Activity(400, 2) == Activity(500, 10)


WORK_AND_NAP = """
import os, time
from bench.threads import Activity
before = Activity.of(os.getpid())
end_ns = time.thread_time_ns() + 50_000_000
while time.thread_time_ns() < end_ns:
    pass
while (since := Activity.of(os.getpid()) - before).waits < 20:
    time.sleep(0.001)
print(since.running_ns)
"""


def test_a_process_that_works_and_naps() -> None:
    """One of its own: of this one, threads that other tests have left may end meanwhile."""
    done = subprocess.run(
        [sys.executable, "-c", WORK_AND_NAP], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) >= 50_000_000


def test_a_process_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Activity.of(7, tmp_path)
