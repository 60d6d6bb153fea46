"""Opening something in a network namespace of another process."""

import ctypes
import os
from collections.abc import Callable
from typing import Final, TypeVar

_CLONE_NEWNET: Final = 0x40000000
_OWN: Final = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)

Opened = TypeVar("Opened")


def open_in_namespace(path: str, inode: int, opening: Callable[[], Opened]) -> Opened:
    """What `opening` returns in the network namespace at `path` (/proc/PID/ns/net). The thread comes back from it.

    A socket stays in the namespace in which it was opened. Other threads stay where they are.

    Raises:
        OSError: there is no such namespace (ENOENT: or it is not the one with this inode any more), it cannot be
            entered (that takes CAP_SYS_ADMIN), or `opening` raised it.
    """
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(there).st_ino != inode:
            raise FileNotFoundError(2, "another process has the number by now", path)
        here = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(here).st_ino == inode:
                return opening()
            _enter(there)
            try:
                return opening()
            finally:
                _enter(here)
        finally:
            os.close(here)
    finally:
        os.close(there)


def _enter(namespace: int) -> None:
    """setns(2), which Python offers from 3.12 on."""
    if _libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
