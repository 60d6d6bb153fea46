"""bench/threads.py: the sums over threads of a folder made for it, and of this process."""

import os
import time
from pathlib import Path

import pytest

from bench.threads import Activity


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


def test_this_process() -> None:
    before = Activity.of(os.getpid())
    end_ns = time.thread_time_ns() + 50_000_000
    while time.thread_time_ns() < end_ns:
        pass
    deadline = time.monotonic() + 60
    while (since := Activity.of(os.getpid()) - before).waits < 20:
        assert time.monotonic() < deadline, f"{since} after a minute of naps"
        time.sleep(0.001)
    assert since.running_ns >= 50_000_000


def test_a_process_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Activity.of(7, tmp_path)
