"""How full the hash maps of a running agent are, as the kernel knows it: by walking their keys from outside."""

import ctypes
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.kernel.bpf_syscall import map_information

_BPF: Final = {"x86_64": 321, "aarch64": 280}
_PIDFD_GETFD: Final = 438  # on every architecture, see pidfd_getfd(2)
_NEXT_KEY: Final = 4  # BPF_MAP_GET_NEXT_KEY
_HASHES: Final = frozenset((1, 5, 9, 10))
"""Of `enum bpf_map_type`: hash and LRU hash, both also by processor. Arrays are always full."""

_libc = ctypes.CDLL(None, use_errno=True)


def map_entries(process: int) -> dict[str, int]:
    """Keys of each hash map that a process holds, by the map's name.

    A walk through a map that changes may see a key twice or begin again (kernel/bpf/hashtab.c, htab_map_get_next_key);
    it ends after as many keys as the map can hold.

    Raises:
        OSError: The process is gone, or this one may not look into it.
    """
    found: dict[str, int] = {}
    pidfd = os.pidfd_open(process)
    try:
        for number in _maps(process):
            descriptor = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            try:
                shape = map_information(descriptor)
                if shape.kind in _HASHES:
                    found[shape.name] = _count(descriptor, shape.key_bytes, shape.entries)
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


def _count(descriptor: int, key_bytes: int, capacity: int) -> int:
    here, after = ctypes.create_string_buffer(key_bytes), ctypes.create_string_buffer(key_bytes)
    first = struct.pack("=IxxxxQQQ", descriptor, 0, ctypes.addressof(after), 0)
    later = struct.pack("=IxxxxQQQ", descriptor, ctypes.addressof(here), ctypes.addressof(after), 0)
    words = first
    number = _BPF[os.uname().machine]
    for keys in range(capacity):
        attributes = ctypes.create_string_buffer(words, len(words))
        if _libc.syscall(ctypes.c_long(number), ctypes.c_long(_NEXT_KEY), attributes, ctypes.c_long(len(words))) < 0:
            return keys
        ctypes.memmove(here, after, key_bytes)
        words = later
    return capacity
