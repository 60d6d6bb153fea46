"""The addresses of the interfaces of this network namespace, asked of the kernel over rtnetlink.

Names and numbers: include/uapi/linux/rtnetlink.h, netlink.h and if_addr.h; see rtnetlink(7). A message is a netlink
header, an ifaddrmsg and attributes, all of them in host order.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from agent.discovery.socket_table import MAPPED_PREFIX

SECONDS: Final = 0.1
"""How long the kernel has for an answer: its lock on interfaces may be held."""
_ROUTE: Final = 0  # NETLINK_ROUTE
_NEW_ADDRESS: Final = 20  # RTM_NEWADDR
_GET_ADDRESS: Final = 22
_ERROR: Final = 2  # NLMSG_ERROR
_DONE: Final = 3
_REQUEST_DUMP: Final = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP
_ADDRESS: Final = 1  # IFA_ADDRESS: for a link between two ends that of the other one
_LOCAL: Final = 2
_FLAGS: Final = 8
_NOT_USABLE: Final = 0x08 | 0x40  # IFA_F_DADFAILED | IFA_F_TENTATIVE: another host has it, or that is not known yet
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_BODY: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_NUMBER: Final = struct.Struct("=I")
_LENGTHS: Final = {socket.AF_INET: 4, socket.AF_INET6: 16}
_DATAGRAM: Final = 64 * 1024
"""Bytes; the kernel fills at most 32 KiB of a dump at a time."""


class RtnetlinkError(Exception):
    """The kernel gave no answer, or one that cannot be one."""


class InterfaceAddress(msgspec.Struct, frozen=True):
    """An address of an interface."""

    interface: int
    """Its index."""
    address: bytes
    """16 bytes, IPv4 mapped."""


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """The addresses in use, in ascending order of interfaces; those of one as the kernel has them.

    Raises:
        RtnetlinkError: the kernel did not answer, or not with addresses.
    """
    found: list[InterfaceAddress] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE) as asking:
            asking.settimeout(SECONDS)
            asking.send(dump_request())
            done = False
            while not done:
                addresses, done = parse(asking.recv(_DATAGRAM))
                found += addresses
    except OSError as error:
        raise RtnetlinkError(f"the kernel does not tell the addresses of interfaces: {error}") from error
    return tuple(sorted(found, key=lambda each: each.interface))


def dump_request() -> bytes:
    """A request for every address."""
    return _HEADER.pack(_HEADER.size + _BODY.size, _GET_ADDRESS, _REQUEST_DUMP, 1, 0) + _BODY.pack(0, 0, 0, 0, 0)


def parse(data: bytes) -> tuple[list[InterfaceAddress], bool]:
    """The addresses in a datagram, and whether it ends the dump.

    Raises:
        RtnetlinkError: it is none, or a refusal.
    """
    found: list[InterfaceAddress] = []
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise RtnetlinkError("a message shorter than its header")
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise RtnetlinkError(f"a message of {length} bytes where {len(data) - at} are left")
        if kind == _DONE:
            return found, True
        if kind == _ERROR:
            raise RtnetlinkError("the kernel refuses")
        if kind == _NEW_ADDRESS and (address := _parse_address(data[at + _HEADER.size : at + length])) is not None:
            found.append(address)
        at += _aligned(length)
    return found, False


def _parse_address(body: bytes) -> InterfaceAddress | None:
    """An address of a family that is known and in use; else None."""
    if len(body) < _BODY.size:
        raise RtnetlinkError("an address shorter than its header")
    family, _, flags, _, interface = _BODY.unpack_from(body)
    attributes = dict(_attributes(body[_BODY.size :]))
    if len(attributes.get(_FLAGS, b"")) == _NUMBER.size:  # all of them; there are more than fit into the byte
        (flags,) = _NUMBER.unpack(attributes[_FLAGS])
    address = attributes.get(_LOCAL) or attributes.get(_ADDRESS, b"")
    if flags & _NOT_USABLE or len(address) != _LENGTHS.get(family, 0):
        return None
    return InterfaceAddress(interface, address if family == socket.AF_INET6 else MAPPED_PREFIX + address)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            raise RtnetlinkError(f"an attribute of {length} bytes where {len(data) - at} are left")
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _aligned(length: int) -> int:
    return length + 3 & ~3
