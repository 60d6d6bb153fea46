"""What is in the hash maps of a running agent, as the kernel knows it: their keys, walked from outside."""

import ctypes
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from agent.kernel.bpf_maps import keys, map_information

_PIDFD_GETFD: Final = 438  # on every architecture, see pidfd_getfd(2)
_HASHES: Final = frozenset((1, 5, 9, 10))
"""Of `enum bpf_map_type`: hash and LRU hash, both also by processor. Arrays are always full."""

_libc = ctypes.CDLL(None, use_errno=True)


def map_keys(process: int) -> dict[str, list[bytes]]:
    """Keys of each hash map that a process holds, by the map's name.

    A walk through a map that changes may see a key twice or begin again (kernel/bpf/hashtab.c, htab_map_get_next_key);
    it ends after as many keys as the map can hold.

    Raises:
        OSError: The process is gone, this one may not look into it, or the kernel refused a key.
    """
    found: dict[str, list[bytes]] = {}
    pidfd = os.pidfd_open(process)
    try:
        for number in _maps(process):
            descriptor = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            try:
                shape = map_information(descriptor)
                if shape.kind in _HASHES:
                    found[shape.name] = list(islice(keys(descriptor), shape.entries))
            finally:
                os.close(descriptor)
    finally:
        os.close(pidfd)
    return found


def _maps(process: int) -> Iterator[int]:
    """Descriptors of one process that are maps, each map once."""
    seen = set()
    for each in Path(f"/proc/{process}/fd").iterdir():
        try:
            if str(each.readlink()) != "anon_inode:bpf-map":
                continue
            about = Path(f"/proc/{process}/fdinfo/{each.name}").read_text()
        except FileNotFoundError:  # closed meanwhile
            continue
        identity = re.search(r"^map_id:\s+(\d+)", about, re.MULTILINE)
        if identity is not None and identity[1] not in seen:
            seen.add(identity[1])
            yield int(each.name)
