"""Attaching loaded programs to functions of user programs and libraries (uprobes).

Processes start and load libraries at any time, so the agent attaches by itself what the loader has loaded. A probe
belongs to a place in a file: the kernel puts it into every process that has the file mapped, or will have.

Since Linux 6.6 one link holds all places of a program in a file. That matters when they are taken off: for each link
the kernel waits until nobody can be inside any more, which may take a tenth of a second. Before, each place is a link.

Source: the kernel's kernel/trace/bpf_trace.c (`bpf_uprobe_multi_link_attach`), kernel/events/core.c
(`perf_uprobe_event_init`) and include/uapi/linux/perf_event.h. Of `struct perf_event_attr` the second published size is
enough: it ends with `config2`, the place in the file.
"""

import ctypes
import errno
import os
import platform
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from agent.kernel import bpf_programs

PMU: Final = Path("/sys/bus/event_source/devices/uprobe")

_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQQ")  # PERF_ATTR_SIZE_VER1
_CLOSE_ON_EXEC: Final = 8
_EVERY_PROCESS: Final = -1
_ANY_CPU: Final = 0  # the kernel wants one; the probe is hit on all

_MULTI: Final = struct.Struct("=QQQQIII")  # path, offsets, reference counters, cookies, count, flags, process
_MULTI_AT_RETURN: Final = 1
_NO_SUCH_FILE: Final = b"/proc/self/no such file"

_libc = ctypes.CDLL(None, use_errno=True)


class Place(NamedTuple):
    """Where a program is attached to, in a file."""

    offset: int
    """Of the instruction's first byte."""
    cookie: int
    """What the program is told."""


class Uprobes:
    """Attaches programs to places in files."""

    def __init__(self, pmu: Path = PMU) -> None:
        """Learn how this kernel names its uprobes.

        Raises:
            OSError: It has none.
        """
        self._type = int((pmu / "type").read_text())
        self._at_return = 1 << _bit((pmu / "format" / "retprobe").read_text())
        self._has_multi: bool | None = None

    def attach(self, program: int, path: str, places: Sequence[Place], *, at_return: bool = False) -> list[int]:
        """Attach a program to some places in a file, or to none of them.

        Args:
            program: Descriptor of a program of type `bpf_programs.TYPE_KPROBE`, loaded to be attached by
                `bpf_programs.ATTACH_UPROBE_MULTI`.
            path: Of the file; links are followed, also those of /proc to files that have been deleted.
            places: Where; at least one.
            at_return: Whether the program runs when the functions that begin there return.

        Returns:
            Descriptors; with each, some places are taken off.

        Raises:
            OSError: The kernel refused one of the places.
        """
        if self._has_multi is None:
            self._has_multi = _has_multi(program)
        if self._has_multi:
            return [_attach_multi(program, os.fsencode(path), places, at_return=at_return)]
        descriptors: list[int] = []
        try:
            for place in places:
                descriptors.append(self._attach_one(program, path, place, at_return=at_return))  # noqa: PERF401 - kept when one fails
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    def _attach_one(self, program: int, path: str, place: Place, *, at_return: bool) -> int:
        name = ctypes.create_string_buffer(os.fsencode(path))
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
            place.offset,
        )
        event = perf_event_open(attributes, _EVERY_PROCESS, _ANY_CPU)
        try:
            return bpf_programs.create_link(
                program, event, bpf_programs.ATTACH_PERF_EVENT, place.cookie.to_bytes(8, "little")
            )
        finally:
            os.close(event)  # the link keeps it


def _has_multi(program: int) -> bool:
    """Whether this kernel has links with several places: it then misses the file, and otherwise knows no such link."""
    try:
        os.close(_attach_multi(program, _NO_SUCH_FILE, [Place(0, 0)], at_return=False))
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _attach_multi(program: int, path: bytes, places: Sequence[Place], *, at_return: bool) -> int:
    name = ctypes.create_string_buffer(path)
    offsets = array("Q", [place.offset for place in places])
    cookies = array("Q", [place.cookie for place in places])
    more = _MULTI.pack(
        ctypes.addressof(name),
        offsets.buffer_info()[0],
        0,
        cookies.buffer_info()[0],
        len(places),
        _MULTI_AT_RETURN if at_return else 0,
        0,
    )
    return bpf_programs.create_link(program, 0, bpf_programs.ATTACH_UPROBE_MULTI, more)


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
