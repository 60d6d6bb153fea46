"""Interfaces of other network namespaces, read from within: by a thread that enters one and ends.

Nothing in /proc or /sys shows all interfaces of another namespace with their indexes to a process outside. setns(2)
moves the calling thread alone, so the rest of the agent stays where it is.
"""

import ctypes
import fcntl
import os
import socket
import struct
import threading

from agent.discovery.host import Interface
from agent.discovery.readable import readable

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCGIFMTU = 0x8921  # linux/sockios.h
_REQUEST = struct.Struct("16si20x")  # struct ifreq of linux/if.h: a name, and here a number

_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceReader:
    """Reads one namespace at a time and never waits long for it."""

    def __init__(self, seconds: float = 0.1) -> None:
        """Wait for an answer for at most `seconds`."""
        self._seconds = seconds
        self._thread: threading.Thread | None = None

    def interfaces(self, path: str, namespace: int) -> tuple[Interface, ...] | None:
        """The interfaces of the namespace that a file such as /proc/PID/ns/net stands for, in ascending index order.

        None when that is not the namespace with the inode number `namespace` any more, when it may not be entered, or
        when there was no answer in time: the kernel's lock on interfaces may be held.
        """
        if self._thread is not None and self._thread.is_alive():
            return None
        answers: list[tuple[Interface, ...]] = []
        self._thread = threading.Thread(target=_read, args=(path, namespace, answers), name="namespace", daemon=True)
        self._thread.start()
        self._thread.join(self._seconds)
        return answers[0] if answers else None


def _read(path: str, namespace: int, answers: list[tuple[Interface, ...]]) -> None:
    """Enter a namespace for good and append its interfaces; nothing when that is not possible."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.fstat(descriptor).st_ino != namespace or _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            return
    finally:
        os.close(descriptor)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            answers.append(
                tuple(
                    Interface(index, _mtu(any_socket, name), readable(name))
                    for index, name in sorted(socket.if_nameindex())
                )
            )
    except OSError:
        return


def _mtu(any_socket: socket.socket, name: str) -> int:
    """The MTU of an interface; 0 when it has just gone."""
    try:
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, _REQUEST.pack(os.fsencode(name), 0))
    except OSError:
        return 0
    mtu: int = _REQUEST.unpack(answer)[1]
    return mtu
