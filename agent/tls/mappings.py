"""The files that a process runs code from, as the kernel lists them (proc_pid_maps(5))."""

import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

_LINE: Final = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ..x. [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([1-9]\d*) +(/.*)$", re.MULTILINE
)
_OVERLAY: Final = 0x794C7630  # OVERLAYFS_SUPER_MAGIC
_STATFS_BYTES: Final = 256  # more than any machine's struct statfs, which begins with the type

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A part of a file in the memory of a process."""

    begin: int
    end: int
    device: str
    inode: int
    path: str
    """As the process sees it; " (deleted)" follows when it is there no more."""


class Identity(NamedTuple):
    """Tells one file from all others, also where it has several names.

    The files of two containers of one image are the same file below, and each has another device: then time and size
    stand for the device. Should two be taken for different that are the same, each probe would be there twice, which
    the programs bear.
    """

    device: int
    inode: int
    size: int
    changed_ns: int

    def is_mapped_as(self, mapped: Mapped) -> bool:
        """Whether this may be the file of a mapping, as far as that tells without a look at the file."""
        device = f"{os.major(self.device):02x}:{os.minor(self.device):02x}" if self.device >= 0 else mapped.device
        return (device, self.inode) == (mapped.device, mapped.inode)


class Version(NamedTuple):
    """Tells whether a file was written to."""

    size: int
    modified_ns: int


def mapped_files(root: str, pid: int) -> Iterator[Mapped]:
    """What a process has mapped to be executed; nothing when it is gone, or a part of the kernel.

    Args:
        root: Where /proc is.
        pid: Of the process.
    """
    try:
        with open(f"{root}/{pid}/maps", "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered: the kernel gives whole lines
            text = file.readall() or b""
    except OSError:
        return
    for begin, end, device, inode, path in _LINE.findall(text):
        yield Mapped(int(begin, 16), int(end, 16), device.decode(), int(inode), os.fsdecode(path))


def open_path(root: str, pid: int, begin: int, end: int) -> str:
    """A path to the file of a mapping, which leads there even from another mount namespace, or when it was deleted."""
    return f"{root}/{pid}/map_files/{begin:x}-{end:x}"


def identify(path: str) -> tuple[Identity, Version]:
    """Which file a path leads to.

    Raises:
        OSError: It leads nowhere, or to something else than a file.
    """
    status = os.stat(path)  # noqa: PTH116 - called for every mapping of every process; a Path costs more
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ENODEV, "no file")
    version = Version(status.st_size, status.st_mtime_ns)
    if _is_overlay(path):
        return Identity(-1, status.st_ino, status.st_size, status.st_ctime_ns), version
    return Identity(status.st_dev, status.st_ino, 0, 0), version


def _is_overlay(path: str) -> bool:
    """Whether a file is in a file system that is made of layers of others.

    Raises:
        OSError: The path leads nowhere.
    """
    memory = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.statfs(os.fsencode(path), memory):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int.from_bytes(memory.raw[:4], "little") == _OVERLAY


def processes(root: str) -> list[int]:
    """Ids of all processes."""
    try:
        return [int(name) for name in os.listdir(root) if name.isdigit()]  # noqa: PTH208 - names, not paths
    except OSError:
        return []
