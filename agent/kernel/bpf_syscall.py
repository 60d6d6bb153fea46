"""The system call bpf(2), for the few commands of `agent.kernel.bpf_maps` and `agent.kernel.bpf_programs`.

The loader's child uses them as well: standard library only.

Source: the kernel's include/uapi/linux/bpf.h; `union bpf_attr` differs per command and may be given shorter than it is.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import Final

_NUMBER: Final = {"x86_64": 321, "aarch64": 280}
_INFO: Final = 15

_libc = ctypes.CDLL(None, use_errno=True)


def call(command: int, given: "ctypes.Array[ctypes.c_char]") -> int:
    """Call the kernel; what it returns.

    Args:
        command: Of `enum bpf_cmd`.
        given: The beginning of `union bpf_attr`.

    Raises:
        OSError: The kernel refused.
    """
    machine = platform.machine()
    if machine not in _NUMBER:
        raise OSError(errno.ENOSYS, f"the number of bpf(2) on {machine} is not known here")
    result: int = _libc.syscall(
        ctypes.c_long(_NUMBER[machine]), ctypes.c_long(command), given, ctypes.c_long(len(given))
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def attributes(layout: str, *values: int) -> "ctypes.Array[ctypes.c_char]":
    """Numbers as the kernel reads them, by a layout of `struct`."""
    packed = struct.pack(layout, *values)
    return ctypes.create_string_buffer(packed, len(packed))


def information(descriptor: int, size: int) -> bytes:
    """The first `size` bytes of what the kernel says of a map or program.

    Raises:
        OSError: The descriptor is of something else.
    """
    memory = ctypes.create_string_buffer(size)
    call(_INFO, attributes("=IIQ", descriptor, size, ctypes.addressof(memory)))
    return memory.raw


def text(raw: bytes) -> str:
    """A name as the kernel has it, up to the first zero byte."""
    return raw.partition(b"\0")[0].decode(errors="replace")
