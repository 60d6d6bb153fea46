"""The kernel's list of tracepoints and their formats: tracefs.

Runs in the distribution's Python as well: standard library only.

Where tracefs is not mounted (small systems, containers) nothing is mounted for others to see: the agent reads a
detached mount through its descriptor, and the loader, whose compiler insists on the usual path, mounts it in a mount
namespace of its own that ends with it.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

USUAL_PLACES: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

_CLONE_NEWNS: Final = 0x00020000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
# Since Linux 5.2, with the same numbers on every architecture.
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC, _FSCONFIG_CMD_CREATE, _FSMOUNT_CLOEXEC = 1, 6, 1

_libc = ctypes.CDLL(None, use_errno=True)


class TracefsError(Exception):
    """tracefs is not mounted and cannot be."""


def mounted() -> Path | None:
    """Where tracefs is mounted; None when it is not.

    Raises:
        TracefsError: It is closed to this user.
    """
    try:
        return next((place for place in USUAL_PLACES if (place / "events").is_dir()), None)
    except PermissionError as error:
        raise TracefsError(f"{error.filename} is closed to this user; run as root") from error


class Tracefs:
    """Read access to tracefs, wherever it is. To be closed."""

    def __init__(self) -> None:
        """Find the mount, or make a detached one.

        Raises:
            TracefsError: Neither was possible.
        """
        self._descriptor: int | None = None
        found = mounted()
        self.is_mounted = found is not None
        """Whether tracefs was found at one of its usual places."""
        if found is None:
            self._descriptor = _mount_detached()
            found = Path(f"/proc/self/fd/{self._descriptor}")
        self.root = found

    def close(self) -> None:
        """Let go of a detached mount."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def has(self, tracepoint: str) -> bool:
        """Whether this kernel has `tracepoint`, named as in "syscalls:sys_enter_read"."""
        category, _, event = tracepoint.partition(":")
        return (self.root / "events" / category / event / "format").exists()


def _mount_detached() -> int:
    context = _call(_SYS_FSOPEN, b"tracefs", _FSOPEN_CLOEXEC)
    try:
        _call(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _call(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: int | bytes | None) -> int:
    converted = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise TracefsError(
            f"tracefs is not mounted and cannot be mounted: {os.strerror(ctypes.get_errno())};"
            " run as root, or mount it: mount -t tracefs tracefs /sys/kernel/tracing"
        )
    return result


def mount_privately() -> None:
    """Mount tracefs at its usual place for this process and its children only, unless it is mounted there.

    Raises:
        TracefsError: It could not be mounted.
    """
    if mounted() is not None:
        return
    failed = (
        _libc.unshare(_CLONE_NEWNS)
        or _libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None)
        or _libc.mount(b"tracefs", os.fsencode(USUAL_PLACES[0]), b"tracefs", ctypes.c_ulong(0), None)
    )
    if failed:
        reason = os.strerror(ctypes.get_errno())
        raise TracefsError(f"tracefs cannot be mounted for the loader: {reason}; run as root")
