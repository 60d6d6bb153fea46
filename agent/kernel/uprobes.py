"""Attaching loaded programs to functions of user programs and libraries (uprobes).

Processes start and load libraries at any time, so the agent attaches by itself what the loader has loaded. A probe
belongs to a place in a file: the kernel puts it into every process that has the file mapped, or will have.

Source: the kernel's kernel/events/core.c (`perf_uprobe_event_init`) and include/uapi/linux/perf_event.h. Of `struct
perf_event_attr` the second published size is enough: it ends with `config2`, the place in the file.
"""

import ctypes
import fcntl
import os
import platform
import struct
from pathlib import Path
from typing import Final

PMU: Final = Path("/sys/bus/event_source/devices/uprobe")

_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQQ")  # PERF_ATTR_SIZE_VER1
_CLOSE_ON_EXEC: Final = 8
_EVERY_PROCESS: Final = -1
_ANY_CPU: Final = 0  # the kernel wants one; the probe is hit on all
_ENABLE: Final = 0x2400
_SET_PROGRAM: Final = 0x40042408
_MOST_BYTES_OF_PATH: Final = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class Uprobes:
    """Attaches programs to places in files."""

    def __init__(self, pmu: Path = PMU) -> None:
        """Learn how this kernel names its uprobes.

        Raises:
            OSError: It has none.
        """
        self._type = int((pmu / "type").read_text())
        self._at_return = 1 << _bit((pmu / "format" / "retprobe").read_text())

    def attach(self, program: int, path: str, offset: int, *, at_return: bool = False) -> int:
        """Attach a program.

        Args:
            program: Descriptor of a program of type `bpf_syscall.TYPE_KPROBE`.
            path: Of the file; links are followed, also those of /proc to files that have been deleted.
            offset: Of the instruction's first byte in the file.
            at_return: Whether the program runs when the function that begins there returns.

        Returns:
            A descriptor, with which it is detached.

        Raises:
            OSError: The kernel refused.
        """
        name = ctypes.create_string_buffer(os.fsencode(path))
        if len(name) > _MOST_BYTES_OF_PATH:
            raise OSError(f"a path of {len(name)} bytes is too long")
        attributes = _ATTRIBUTES.pack(
            self._type,
            _ATTRIBUTES.size,
            self._at_return if at_return else 0,
            0,  # sample_period
            0,  # sample_type
            0,  # read_format
            0,  # flags
            0,  # wakeup_events
            0,  # bp_type
            ctypes.addressof(name),
            offset,
        )
        descriptor = perf_event_open(attributes, _EVERY_PROCESS, _ANY_CPU)
        try:
            fcntl.ioctl(descriptor, _SET_PROGRAM, program)
            fcntl.ioctl(descriptor, _ENABLE, 0)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def perf_event_open(attributes: bytes, process: int, processor: int) -> int:
    """Open a perf event; a descriptor.

    Args:
        attributes: A `struct perf_event_attr`.
        process: The one to watch, or -1 for all.
        processor: The one to watch, or -1 for all.

    Raises:
        OSError: The kernel refused.
    """
    memory = ctypes.create_string_buffer(attributes, len(attributes))
    arguments = [ctypes.c_long(value) for value in (process, processor, -1, _CLOSE_ON_EXEC)]
    result: int = _libc.syscall(ctypes.c_long(_PERF_EVENT_OPEN[platform.machine()]), memory, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _bit(text: str) -> int:
    """The number of a flag's bit, from a line such as "config:0"."""
    return int(text.strip().rpartition(":")[2])
