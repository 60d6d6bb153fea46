"""Real control groups of this machine, in the shape in which runtimes make them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOTS = tuple(map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/systemd")))


def root(version: int) -> Path:
    """Where a hierarchy of that version is mounted and may be changed; skips the test when there is none."""
    for folder in ROOTS:
        is_second = (folder / "cgroup.controllers").exists()
        if (folder / "cgroup.procs").exists() and is_second is (version == 2) and os.access(folder, os.W_OK):
            return folder
    pytest.skip(f"this machine has no control groups of version {version} that may be changed")


@contextmanager
def control_group(version: int, path: str) -> Iterator[Path]:
    """A group of that path below the root, which must be empty at the end."""
    folder = root(version) / path.strip("/")
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"this machine makes no control groups: {error.strerror}")
    try:
        yield folder
    finally:
        for each in made:
            with suppress(OSError):  # another test has a group beside
                each.rmdir()


def enter(group: Path, process: int) -> None:
    """Put a process into a group."""
    (group / "cgroup.procs").write_text(str(process))
