"""Which files can be read without waiting for somebody else.

Who opens a file of a network file system whose server is gone may wait for ever, and nothing ends that. So do those who
open a file of a file system that a program serves (FUSE). Of which kind a file is, is told without touching it: by its
device, as the kernel lists it with the mappings of a process, and by the list of mounts.

A file system made of layers (overlay) answers when all of its layers do. Their folders are looked for among the mounts
of process 1. Where they are not found there, nobody is known to answer, and the price of taking it so is small: such
files are read by another process. That is so of an overlay that process 1 does not see, whose folders are named as some
other process saw them, and of folders that are named from wherever the one who mounted them was at the time.
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

from agent.tls.mounts import Mount, Mounts, shown

LOCAL: Final = frozenset(
    ("aufs", "bcachefs", "btrfs", "devtmpfs", "erofs", "hugetlbfs", "ramfs", "rootfs", "squashfs", "tmpfs", "zfs")
)
"""Kinds without a block device that answer all the same: each has its files on this machine."""
OVERLAY: Final = "overlay"
LAYERS_DEEP: Final = 2
"""Overlays that are made of overlays: no kernel makes one of these again (FILESYSTEM_MAX_STACK_DEPTH)."""
KEPT_SECONDS: Final = 30.0
"""How long a list of mounts is believed: numbers of devices come back as those of others."""


class FileSystems:
    """Tells file systems apart by their devices. For one thread."""

    def __init__(self, root: str = "/proc") -> None:
        """Look below `root`, where /proc is."""
        self._root = root
        self._everywhere = Mounts()
        self._elsewhere: dict[str, Mount] = {}
        self._answers: dict[str, bool] = {}
        self._read_at = 0.0

    def may_hang(self, device: str, process: int) -> bool:
        """Whether who opens a file may wait without end.

        Args:
            device: Of the file, as /proc/PID/maps has it: "fe:00".
            process: That has it mapped: where it is mounted may only be seen from there.
        """
        if _has_a_disk(device) or device in _OWN:
            return False
        mount = self.mount(device, process)
        if mount is None:
            return True
        if device not in self._answers:
            self._answers[device] = self._answer(mount)
        return not self._answers[device]

    def mount(self, device: str, process: int) -> Mount | None:
        """Where a file system is mounted: as process 1 sees it, else as this one does; None when neither does."""
        now = time.monotonic()
        if now - self._read_at > KEPT_SECONDS:
            self._read_at = now
            self._everywhere = Mounts()
            self._elsewhere.clear()
            self._answers.clear()
        if device not in self._everywhere.by_device and device not in self._elsewhere:
            self._everywhere = Mounts.of(self._root, 1)
            self._elsewhere |= Mounts.of(self._root, process).by_device
            self._answers.clear()
        return self._everywhere.by_device.get(device) or self._elsewhere.get(device)

    def _answer(self, mount: Mount, depth: int = 0) -> bool:
        """Whether a file system answers; the layers of an overlay are seen by process 1, or not at all."""
        if mount.kind != OVERLAY:
            return _has_a_disk(mount.device) or mount.kind in LOCAL
        if mount.device not in self._everywhere.by_device or depth >= LAYERS_DEEP:
            return False
        below = {self._everywhere.holding(layer) for layer in mount.layers()}
        return bool(below) and all(one is not None and self._answer(one, depth + 1) for one in below)


def _has_a_disk(device: str) -> bool:
    return int(device.partition(":")[0], 16) != 0


def _device_of(path: str) -> str:
    device = Path(path).stat().st_dev
    return shown(os.major(device), os.minor(device))


def _device_of_memory() -> str:
    descriptor = os.memfd_create("device", os.MFD_CLOEXEC)
    try:
        device = os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)
    return shown(os.major(device), os.minor(device))


_OWN: Final = frozenset((_device_of(sys.executable), _device_of(__file__), _device_of_memory()))
"""Where the agent itself comes from: while that does not answer it stands still anyway. And what is in memory alone,
which is on no mount that is listed."""
