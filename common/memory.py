"""How much memory this process may use, for bounds that grow with the machine."""

import os
from pathlib import Path

_ROOT = Path("/")


def usable_memory(root: Path = _ROOT) -> int:
    """Bytes that this process may use: those of the machine, or of the tightest of its control groups (cgroup v2).

    Args:
        root: where `proc` and `sys` are.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return limits[0]
    groups = root / "sys/fs/cgroup"
    # One line of version 2: no number of a hierarchy, no controllers, and the path of the group.
    for path in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        for group in (groups / path, *(groups / path).parents):
            if not group.is_relative_to(groups):
                break
            try:
                limits.append(int((group / "memory.max").read_text()))
            except (OSError, ValueError):  # the root has none, and "max" is no limit
                continue
    return min(limits)


def sized(each: int, part: int, least: int, most: int, memory: int | None = None) -> int:
    """How many of something fit into a part of the memory, within bounds.

    Args:
        each: bytes that one takes.
        part: of how many equal parts of the memory one may be taken.
        least: at least so many, whatever the memory.
        most: at most so many.
        memory: bytes; None for those of this process.
    """
    fit = (usable_memory() if memory is None else memory) // part // each
    return min(max(fit, least), most)
