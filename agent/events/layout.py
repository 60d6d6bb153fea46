"""The record that every BPF program sends and every reader sees: `struct event` of bpf/events.h.

This dtype is the declaration that Python uses; `c_layout_assertions` turns it into C static assertions which
the loader compiles together with the programs, so that a difference between the two is a compile error.
"""

from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

ADDRESS_BYTES = 16
COMMAND_BYTES = 16

EVENT = np.dtype(
    [
        ("start_ns", np.uint64),  # CLOCK_MONOTONIC at system call entry
        ("end_ns", np.uint64),  # CLOCK_MONOTONIC at system call exit, or when an asynchronous outcome was known
        ("inode", np.uint64),  # socket inode number: the identity of a socket, as in /proc/PID/fd
        ("bytes", np.uint64),  # payload bytes moved by a transfer
        ("process", np.uint32),  # process id (tgid) in the initial pid namespace
        ("thread", np.uint32),  # thread id in the initial pid namespace
        ("descriptor", np.int32),  # file descriptor; the first one of a close_range
        ("result", np.int32),  # 0, or a negative errno; the last descriptor of a close_range
        ("network_namespace", np.uint32),  # inode number of the network namespace
        ("local_port", np.uint16),  # host byte order
        ("remote_port", np.uint16),  # host byte order
        ("kind", np.uint8),  # EventKind
        ("system_call", np.uint8),  # SystemCall
        ("protocol", np.uint8),  # IPPROTO_TCP (6) or IPPROTO_UDP (17)
        ("role", np.uint8),  # Role
        ("flags", np.uint32),  # EventFlag
        ("local_address", np.uint8, (ADDRESS_BYTES,)),  # IPv6, or IPv4 mapped into ::ffff:0:0/96
        ("remote_address", np.uint8, (ADDRESS_BYTES,)),
        ("command", np.uint8, (COMMAND_BYTES,)),  # task name, NUL padded
    ]
)
"""One kernel event: 112 bytes, host byte order, no padding."""

Events = NDArray[np.void]
"""A one-dimensional array of dtype EVENT."""


class EventKind(IntEnum):
    """What happened."""

    CONNECT = 1  # a connect came to its outcome (result 0 or -errno)
    ACCEPT = 2
    CLOSE = 3  # one descriptor of a socket was closed (result 0 or -errno)
    READ = 4  # bytes > 0
    WRITE = 5  # bytes > 0
    CLOSE_RANGE = 6  # descriptors `descriptor`..`result` of the process were closed
    PROCESS_EXIT = 7  # the last thread of the process left; its sockets are closed by the kernel
    LISTEN = 8  # a socket began to listen on its local address and port; no remote end
    LISTEN_END = 9  # the last descriptor of a listening socket was closed


class SystemCall(IntEnum):
    """Which system call moved the data; for other kinds 0."""

    NONE = 0
    READ = 1
    READV = 2
    RECVFROM = 3
    RECVMSG = 4
    RECVMMSG = 5
    PREADV2 = 6
    SPLICE_READ = 7
    WRITE = 16
    WRITEV = 17
    SENDTO = 18
    SENDMSG = 19
    SENDMMSG = 20
    PWRITEV2 = 21
    SENDFILE = 22
    SPLICE_WRITE = 23


class Role(IntEnum):
    """The side of the connection that the process is on; values of the wire's DetectPoint."""

    CLIENT = 0
    SERVER = 1


class EventFlag(IntFlag):
    """Facts about one event."""

    NONBLOCKING = 1  # a connect whose system call returned before its outcome was known
    LAST_REFERENCE = 2  # a close that released the socket itself


def c_layout_assertions() -> str:
    """C static assertions that `struct event` has exactly the layout of EVENT."""
    lines = [f'_Static_assert(sizeof(struct event) == {EVENT.itemsize}, "size of struct event");']
    for name, field in (EVENT.fields or {}).items():
        lines.append(
            f"_Static_assert(__builtin_offsetof(struct event, {name}) == {field[1]}"
            f' && sizeof(((struct event *)0)->{name}) == {field[0].itemsize}, "layout of event.{name}");'
        )
    return "\n".join(lines) + "\n"
