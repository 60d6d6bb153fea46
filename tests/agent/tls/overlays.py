"""File systems made of layers, as those of containers are."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def in_memory(place: Path) -> Iterator[Path]:
    """A new folder whose files are in memory."""
    place.mkdir()
    with contextlib.ExitStack() as stack:
        _mount(stack, place, "-t", "tmpfs", "memory")
        yield place


@contextlib.contextmanager
def overlay(lower: Path, place: Path) -> Iterator[Path]:
    """Where the files of a folder are seen through an overlay, whose own parts are in a new folder `place`.

    They are in memory: an overlay, as tests may run in, takes no other one's.
    """
    upper, work, merged = (place / part for part in ("upper", "work", "merged"))
    with in_memory(place), contextlib.ExitStack() as stack:
        for folder in (upper, work, merged):
            folder.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        _mount(stack, merged, "-t", "overlay", "overlay", "-o", options)
        yield merged


def _mount(stack: contextlib.ExitStack, place: Path, *what: str) -> None:
    mounted = subprocess.run(["mount", *what, place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no overlay can be mounted here: {mounted.stderr.decode().strip()}")
    # An agent of another test may look at a file there that was run: what is in use goes when that has ended.
    stack.callback(lambda: subprocess.run(["umount", "--lazy", place], check=True))
