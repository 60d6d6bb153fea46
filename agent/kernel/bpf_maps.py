"""Maps of BPF programs: made, read, changed.

The loader's child uses them as well: standard library only.
"""

import ctypes
import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.kernel import bpf_syscall

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = range(5)
_MAP_INFO_BYTES: Final = 40  # up to and with the name
_PER_CPU_STRIDE: Final = 8  # values of a per-CPU map are rounded up to 8 bytes


@dataclass(frozen=True)
class MapInformation:
    """Shape of one map."""

    name: str
    key_bytes: int
    value_bytes: int
    entries: int
    kind: int
    """Of `enum bpf_map_type`."""
    flags: int


def possible_cpus() -> int:
    """How many values a per-CPU map has per key.

    Raises:
        OSError: /sys is not mounted.
    """
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    return 1 + max(int(part.rpartition("-")[2]) for part in ranges)


def lookup(descriptor: int, key: bytes, value_bytes: int) -> bytes | None:
    """The value under `key`, or None.

    Raises:
        OSError: The kernel refused.
    """
    key_memory = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_bytes)
    try:
        bpf_syscall.call(
            _MAP_LOOKUP,
            bpf_syscall.attributes("=IxxxxQQQ", descriptor, ctypes.addressof(key_memory), ctypes.addressof(value), 0),
        )
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw


def lookup_sum(descriptor: int, key: int, cpus: int) -> int:
    """The sum over CPUs of a per-CPU array's u64 under index `key`.

    Raises:
        OSError: The kernel refused; there is no such index.
    """
    raw = lookup(descriptor, struct.pack("=I", key), cpus * _PER_CPU_STRIDE)
    if raw is None:
        raise OSError(errno.ENOENT, f"no counter {key}")
    return sum(struct.unpack(f"={cpus}Q", raw))


def update(descriptor: int, key: bytes, value: bytes) -> None:
    """Set the value under `key`.

    Raises:
        OSError: The kernel refused; E2BIG when the map is full.
    """
    key_memory = ctypes.create_string_buffer(key, len(key))
    value_memory = ctypes.create_string_buffer(value, len(value))
    bpf_syscall.call(
        _MAP_UPDATE,
        bpf_syscall.attributes(
            "=IxxxxQQQ", descriptor, ctypes.addressof(key_memory), ctypes.addressof(value_memory), 0
        ),
    )


def delete(descriptor: int, key: bytes) -> None:
    """Remove `key`; nothing happens when it is not there.

    Raises:
        OSError: The kernel refused.
    """
    key_memory = ctypes.create_string_buffer(key, len(key))
    try:
        bpf_syscall.call(_MAP_DELETE, bpf_syscall.attributes("=IxxxxQ", descriptor, ctypes.addressof(key_memory)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def keys(descriptor: int) -> Iterator[bytes]:
    """The keys of a map. Where keys come and go meanwhile, one may come twice, and a new one not at all.

    Raises:
        OSError: The kernel refused.
    """
    shape = map_information(descriptor)
    key = None
    following = ctypes.create_string_buffer(shape.key_bytes)
    # After a key that is gone the kernel begins again from the first.
    for _ in range(2 * shape.entries):
        address = ctypes.addressof(key) if key else 0
        try:
            bpf_syscall.call(
                _MAP_NEXT_KEY, bpf_syscall.attributes("=IxxxxQQ", descriptor, address, ctypes.addressof(following))
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield following.raw
        key = ctypes.create_string_buffer(following.raw, shape.key_bytes)


def map_information(descriptor: int) -> MapInformation:
    """The shape of the map behind `descriptor`.

    Raises:
        OSError: It is not a map.
    """
    raw = bpf_syscall.information(descriptor, _MAP_INFO_BYTES)
    kind, _, key_bytes, value_bytes, entries, flags = struct.unpack_from("=IIIIII", raw)
    return MapInformation(bpf_syscall.text(raw[24:40]), key_bytes, value_bytes, entries, kind, flags)


def create_map(shape: MapInformation) -> int:
    """Make a map; its descriptor.

    Raises:
        OSError: The kernel refused.
    """
    attributes = struct.pack(
        "=IIIIIII16s",
        shape.kind,
        shape.key_bytes,
        shape.value_bytes,
        shape.entries,
        shape.flags,
        0,
        0,
        shape.name.encode()[:15],
    )
    return bpf_syscall.call(_MAP_CREATE, ctypes.create_string_buffer(attributes, len(attributes)))
