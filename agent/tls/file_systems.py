"""Which files can be read without waiting for somebody else.

Who opens a file of a network file system whose server is gone may wait for ever, and nothing ends that. So do those who
open a file of a file system that a program serves (FUSE). Of which kind a file is, is told without touching it: by its
device, as the kernel lists it with the mappings of a process, and by the list of mounts (proc_pid_mountinfo(5)).
"""

import os
import re
import sys
import time
from pathlib import Path
from typing import Final

LOCAL: Final = frozenset(
    ("aufs", "bcachefs", "btrfs", "devtmpfs", "erofs", "hugetlbfs", "overlay", "ramfs", "rootfs", "squashfs")
) | {"tmpfs", "zfs"}
"""Kinds without a block device that answer all the same: each has its files on this machine."""
KEPT_SECONDS: Final = 30.0
"""How long a list of mounts is believed: numbers of devices come back as those of others."""

_MOUNT: Final = re.compile(rb"^\d+ \d+ (\d+):(\d+) .* - (\S+) ", re.MULTILINE)


class FileSystems:
    """Tells file systems apart by their devices. For one thread."""

    def __init__(self, root: str = "/proc") -> None:
        """Look below `root`, where /proc is."""
        self._root = root
        self._kinds: dict[str, str] = {}
        self._read_at = 0.0

    def may_hang(self, device: str, process: int) -> bool:
        """Whether who opens a file may wait without end.

        Args:
            device: Of the file, as /proc/PID/maps has it: "fe:00".
            process: That has it mapped: where it is mounted may only be seen from there.
        """
        if int(device.partition(":")[0], 16) or device in _OWN:
            return False
        now = time.monotonic()
        if now - self._read_at > KEPT_SECONDS:
            self._kinds.clear()
        if device not in self._kinds:
            self._read_at = now
            for mounts in (f"{self._root}/1/mountinfo", f"{self._root}/{process}/mountinfo"):
                self._kinds |= _kinds_of(mounts)
        return self._kinds.get(device) not in LOCAL


def _kinds_of(mounts: str) -> dict[str, str]:
    try:
        text = Path(mounts).read_bytes()
    except OSError:
        return {}
    return {_shown(int(major), int(minor)): kind.decode() for major, minor, kind in _MOUNT.findall(text)}


def _device_of(path: str) -> str:
    device = Path(path).stat().st_dev
    return _shown(os.major(device), os.minor(device))


def _device_of_memory() -> str:
    descriptor = os.memfd_create("device", os.MFD_CLOEXEC)
    try:
        device = os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)
    return _shown(os.major(device), os.minor(device))


def _shown(major: int, minor: int) -> str:
    """As /proc/PID/maps has it."""
    return f"{major:02x}:{minor:02x}"


_OWN: Final = frozenset((_device_of(sys.executable), _device_of(__file__), _device_of_memory()))
"""Where the agent itself comes from: while that does not answer it stands still anyway. And what is in memory alone,
which is on no mount that is listed."""
