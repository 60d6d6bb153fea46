"""The messages of ctnetlink: what connection tracking says over a netlink socket, and how to ask it.

Names and numbers: include/uapi/linux/netlink.h, netfilter/nfnetlink.h and netfilter/nfnetlink_conntrack.h. A message is
a netlink header, an nfgenmsg and attributes; numbers of the headers are in host order, those of attributes big-endian.

The few lines that are needed stand here because the libraries that know all of netlink double the agent's memory; the
tests compare both.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Final

from agent.connections.view import endpoint
from agent.discovery.socket_table import MAPPED_PREFIX

NEW_AND_DESTROY: Final = 1 << 0 | 1 << 2
"""Multicast groups NFNLGRP_CONNTRACK_NEW and NFNLGRP_CONNTRACK_DESTROY, as bind takes them."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")  # nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_ERROR = struct.Struct("=i")
_TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_CT_NEW: Final = 1 << 8 | 0  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
_CT_GET: Final = 1 << 8 | 1
_CT_DELETE: Final = 1 << 8 | 2
_REQUEST_DUMP: Final = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP

TUPLE_ORIGINAL: Final = 1  # enum ctattr_type
TUPLE_REPLY: Final = 2
_ID: Final = 12
TUPLE_IP: Final = 1  # enum ctattr_tuple
TUPLE_PROTOCOL: Final = 2
_PROTOCOL_NUMBER: Final = 1  # enum ctattr_l4proto
SOURCE_PORT: Final = 2
DESTINATION_PORT: Final = 3
SOURCE_ADDRESS: Final = {4: 1, 16: 3}  # enum ctattr_ip, by length of the address
DESTINATION_ADDRESS: Final = {4: 2, 16: 4}

_PROTOCOLS: Final = frozenset((socket.IPPROTO_TCP, socket.IPPROTO_UDP))


class CtnetlinkError(Exception):
    """A message that cannot be what the kernel sends, or a refusal of the kernel."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A tracked connection whose destination is translated. Ends are 18 bytes."""

    id: int
    protocol: int
    source: bytes
    destination: bytes
    new_source: bytes
    new_destination: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Datagram:
    """What a datagram says of TCP and UDP connections whose destination is translated; all others are left out."""

    tracked: list[Tracked]
    done: bool
    """Whether it ends a dump."""


def dump_request() -> bytes:
    """A request for every connection that is tracked in the socket's network namespace."""
    length = _HEADER.size + _FAMILY.size
    return _HEADER.pack(length, _CT_GET, _REQUEST_DUMP, 0, 0) + _FAMILY.pack(socket.AF_UNSPEC, 0, 0)


def parse(data: bytes) -> Datagram:
    """Read a datagram.

    Raises:
        CtnetlinkError: it is damaged, or says that a request failed.
    """
    found: list[Tracked] = []
    done = False
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise CtnetlinkError(f"a netlink message of {length} bytes where {len(data) - at} are left")
        if kind == _NLMSG_DONE:
            done = True
        elif kind == _NLMSG_ERROR:
            _raise_for(data[at + _HEADER.size : at + length])
        elif kind in {_CT_NEW, _CT_DELETE}:
            tracked = _tracked(data, at + _HEADER.size + _FAMILY.size, at + length, ended=kind == _CT_DELETE)
            if tracked is not None:
                found.append(tracked)
        at += length + 3 & ~3
    if at < len(data):
        raise CtnetlinkError(f"{len(data) - at} bytes are left behind the last netlink message")
    return Datagram(found, done)


def _raise_for(payload: bytes) -> None:
    if len(payload) < _ERROR.size:
        raise CtnetlinkError("a netlink error without its number")
    (number,) = _ERROR.unpack_from(payload)
    if number:
        raise CtnetlinkError(f"connection tracking answered with error {-number}")


def _tracked(data: bytes, at: int, end: int, *, ended: bool) -> Tracked | None:
    attributes = _attributes(data, at, end)
    original = _tuple(data, attributes.get(TUPLE_ORIGINAL))
    reply = _tuple(data, attributes.get(TUPLE_REPLY))
    if original is None or reply is None:
        return None
    protocol, source, destination = original
    _, far_end, new_source = reply
    if far_end == destination or protocol not in _PROTOCOLS:
        return None
    number = attributes.get(_ID)
    return Tracked(
        id=int.from_bytes(data[slice(*number)]) if number else 0,
        protocol=protocol,
        source=source,
        destination=destination,
        new_source=new_source,
        new_destination=far_end,
        ended=ended,
    )


def _tuple(data: bytes, span: tuple[int, int] | None) -> tuple[int, bytes, bytes] | None:
    """(protocol, source, destination) of a CTA_TUPLE, or None when it has no ports or lacks something."""
    if span is None:
        return None
    parts = _attributes(data, *span)
    if TUPLE_IP not in parts or TUPLE_PROTOCOL not in parts:
        return None
    addresses = {kind: data[start:end] for kind, (start, end) in _attributes(data, *parts[TUPLE_IP]).items()}
    numbers = {kind: data[start:end] for kind, (start, end) in _attributes(data, *parts[TUPLE_PROTOCOL]).items()}
    length = 4 if SOURCE_ADDRESS[4] in addresses else 16
    source, destination = addresses.get(SOURCE_ADDRESS[length]), addresses.get(DESTINATION_ADDRESS[length])
    ports = numbers.get(SOURCE_PORT), numbers.get(DESTINATION_PORT)
    if source is None or destination is None or ports[0] is None or ports[1] is None:
        return None
    if len(source) != length or len(destination) != length:
        raise CtnetlinkError(f"addresses of {len(source)} and {len(destination)} bytes")
    prefix = MAPPED_PREFIX if length != len(MAPPED_PREFIX) + 4 else b""
    return (
        int.from_bytes(numbers.get(_PROTOCOL_NUMBER, b"")),
        endpoint(prefix + source, int.from_bytes(ports[0])),
        endpoint(prefix + destination, int.from_bytes(ports[1])),
    )


def _attributes(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Where the value of each attribute begins and ends, by type."""
    found: dict[int, tuple[int, int]] = {}
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > end:
            raise CtnetlinkError(f"an attribute of {length} bytes where {end - at} are left")
        found[kind & _TYPE_MASK] = at + _ATTRIBUTE.size, at + length
        at += length + 3 & ~3
    return found
