"""File systems made of layers, as those of containers are."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def overlay(lower: Path, place: Path) -> Iterator[Path]:
    """Where the files of a folder are seen through an overlay, whose own parts are in a new folder `place`."""
    upper, work, merged = (place / part for part in ("upper", "work", "merged"))
    for folder in (upper, work, merged):
        folder.mkdir(parents=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, merged], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"overlays cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)
