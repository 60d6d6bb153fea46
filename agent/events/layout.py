"""The record that every BPF program sends and every reader sees: `struct event` of bpf/events.h.

These dtypes are the declaration that Python uses; `c_layout_assertions` turns it into C static assertions which
the loader compiles together with the programs, so that a difference between the two is a compile error.
"""

from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from agent.events.fragments import FRAGMENT

ADDRESS_BYTES = 16
COMMAND_BYTES = 16

STAGES = np.dtype(
    [
        ("l4_ns", np.uint64),  # write: inside the protocol's sendmsg; read: inside its receive; connect: the handshake
        ("l3_ns", np.uint64),  # inside the network layer
        ("l3_local_ns", np.uint64),  # write: until the output stage; read: local delivery
        ("l3_output_ns", np.uint64),  # write: from the output stage to the device layer; read: until routed
        ("neighbour_ns", np.uint64),  # write: resolving the next hop's hardware address
        ("netfilter_ns", np.uint64),  # inside netfilter's hooks
        ("l2_ns", np.uint64),  # write: inside the device layer
        ("l2_ready_ns", np.uint64),  # write: from the device layer to the driver; read: from the device to the socket
        ("l2_device_ns", np.uint64),  # write: inside the driver; read: from the socket's queue to the end of the call
        ("package_bytes", np.uint64),  # payload of the packages
        ("late_ns", np.uint64),  # write: time in L3 of packages sent outside of any call; in none of the sums above
        ("packages", np.uint32),  # socket buffers, with those sent late
        ("retransmits", np.uint32),
        ("neighbours", np.uint32),  # resolutions of a hardware address
        ("netfilters", np.uint32),  # runs of netfilter's hooks
        ("queued", np.uint32),  # write: packages that entered the device layer
        ("interface", np.uint32),  # index of the last package's interface in the socket's own network namespace
        ("round_trip_us", np.uint32),  # smoothed round trip time of the connection at that moment; 0 when not known
        ("late_packages", np.uint32),  # write: packages sent outside of any call, by acknowledgements or timers
    ]
)
"""What the stages between system call and wire did since the last event of the connection in this direction.

120 bytes. Times in ns; those of a write are of the packages sent inside the call, so that L2 <= L3 <= L4 <= call.
Counts and bytes include late packages. In READ, WRITE, LATE_READ and LATE_WRITE; of CONNECT only `l4_ns` and
`round_trip_us` are set, of ACCEPT only `round_trip_us`.
"""

DROPS = 6

DROP = np.dtype([("reason", np.uint32), ("count", np.uint32)])
"""Packages of one connection that the kernel dropped for one reason (enum skb_drop_reason); unused where count is 0."""

QUALITY = np.dtype(
    [
        ("retransmits_timeout", np.uint32),  # packages sent again after the retransmission timer fired
        ("retransmits_fast", np.uint32),  # in recovery, after duplicate or selective acknowledgements
        ("retransmits_probe", np.uint32),  # tail loss probes, and what else is sent again without either
        ("retransmits_syn", np.uint32),
        ("zero_windows_received", np.uint32),  # packages of the peer that say its window is closed
        ("zero_windows_sent", np.uint32),  # packages to the peer that say so
        ("round_trip_us", np.uint32),  # smoothed
        ("round_trip_variation_us", np.uint32),
        ("round_trip_minimum_us", np.uint32),
        ("drops_other", np.uint32),  # drops for reasons beyond the DROPS first ones
        ("drops", DROP, (DROPS,)),
        ("segments_out", np.uint32),  # since the beginning of the connection: tcp_sock.segs_out
        ("segments_in", np.uint32),  # same: tcp_sock.segs_in
        ("unused", np.uint32, (6,)),
    ]
)
"""What went wrong on a connection since its last QUALITY event: the other meaning of the 120 bytes of STAGES.

Sent with the first transfer after something happened, and at the end of a connection.
"""

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
        ("stages", STAGES),  # of QUALITY events: a QUALITY, see `quality_of`
    ]
)
"""One kernel event: 232 bytes, host byte order, no padding."""

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
    LATE_WRITE = 10  # a TCP socket ended; packages that it sent since its last write
    LATE_READ = 11  # same; packages that it received since its last read
    QUALITY = 12  # see QUALITY


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
    PACKAGES_COUNTED = 4  # stages.packages and stages.package_bytes are counted, even where they are 0


def quality_of(events: Events) -> NDArray[np.void]:
    """The QUALITY of events of that kind, one for each."""
    quality: NDArray[np.void] = events["stages"].view(QUALITY)
    return quality


def c_layout_assertions() -> str:
    """C static assertions that the structs of bpf/events.h and bpf/payload.h have exactly the layouts declared here."""
    structs = {"event": EVENT, "stages": STAGES, "quality": QUALITY, "fragment": FRAGMENT}
    return "".join(f"{line}\n" for name, dtype in structs.items() for line in _assertions(name, dtype))


def _assertions(structure: str, dtype: np.dtype[np.void]) -> list[str]:
    lines = [f'_Static_assert(sizeof(struct {structure}) == {dtype.itemsize}, "size of struct {structure}");']
    for name, field in (dtype.fields or {}).items():
        lines.append(
            f"_Static_assert(__builtin_offsetof(struct {structure}, {name}) == {field[1]}"
            f' && sizeof(((struct {structure} *)0)->{name}) == {field[0].itemsize}, "layout of {structure}.{name}");'
        )
    return lines
