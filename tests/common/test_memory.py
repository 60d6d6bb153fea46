"""Memory that a process may use, by made-up files and by those of this machine."""

import os
from pathlib import Path

import pytest

from common.memory import sized, usable_memory

ALL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def system(root: Path, group: str, limits: dict[str, str]) -> Path:
    """A root with a process in a group of version 2, and limits by the paths of groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"12:memory:/other\n0::/{group}\n")
    for path, limit in limits.items():
        folder = root / "sys/fs/cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, ALL),
        ({"a/b": "max"}, ALL),
        ({"a/b": "4096"}, 4096),
        ({"a": "4096", "a/b": "max"}, 4096),
        ({"a": "4096", "a/b": "8192"}, 4096),
        ({"a": "8192", "a/b": "4096"}, 4096),
        ({"other": "4096"}, ALL),
        ({"a/b": str(2 * ALL)}, ALL),
    ],
)
def test_the_tightest_limit_counts(tmp_path: Path, limits: dict[str, str], expected: int) -> None:
    assert usable_memory(system(tmp_path, "a/b", limits)) == expected


def test_without_control_groups_it_is_that_of_the_machine(tmp_path: Path) -> None:
    assert usable_memory(tmp_path) == ALL


def test_this_process_may_use_some_and_not_more_than_there_is() -> None:
    assert 0 < usable_memory() <= ALL


@pytest.mark.parametrize(("memory", "expected"), [(0, 100), (16_000, 100), (160_000, 1_000), (10**9, 2_000)])
def test_bounds_grow_with_the_memory_between_two_bounds(memory: int, expected: int) -> None:
    assert sized(10, 16, 100, 2_000, memory) == expected


def test_a_bound_is_by_the_memory_of_this_process() -> None:
    assert sized(1, 1, 0, 1 << 62) == usable_memory()
