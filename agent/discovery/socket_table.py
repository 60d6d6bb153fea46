"""Readers of the kernel's text tables of sockets and addresses: /proc/PID/net/{tcp,tcp6,udp,udp6,fib_trie,if_inet6}.

Formats: proc_pid_net(5) and the kernel's get_tcp4_sock, get_tcp6_sock, udp4_format_sock, fib_trie_seq_show.
Lines that do not have the expected form are skipped: these tables are read while they change.
"""

import ipaddress
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""The first 12 bytes of an IPv4 address mapped into IPv6."""

_LISTEN = 0x0A  # TCP_LISTEN of net/tcp_states.h
_UNCONNECTED = 0x07  # TCP_CLOSE: how udp_seq_show prints a socket without a peer
_WORD_BYTES = 4
_WORD_DIGITS = 8
_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class SocketRow:
    """One line of a socket table. Addresses are 16 bytes, IPv4 mapped."""

    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    state: int
    inode: int

    @property
    def listening(self) -> bool:
        """True when the socket has no peer: a TCP listener, or an unconnected UDP socket."""
        return self.state in {_LISTEN, _UNCONNECTED} and self.remote_port == 0


def parse_socket_table(lines: Iterable[str]) -> Iterator[SocketRow]:
    """Rows of a table with the heading left in or out; sockets without an inode (TIME_WAIT, SYN_RECV) are skipped."""
    for line in lines:
        columns = line.split()
        if len(columns) < _COLUMNS:
            continue
        try:
            local_address, local_port = _endpoint(columns[1])
            remote_address, remote_port = _endpoint(columns[2])
            row = SocketRow(
                local_address, local_port, remote_address, remote_port, int(columns[3], 16), int(columns[9])
            )
        except (ValueError, OverflowError):
            continue
        if row.inode > 0:
            yield row


def _endpoint(text: str) -> tuple[bytes, int]:
    """An "ADDRESS:PORT" of a socket table: 32-bit words of the address in host byte order, port in hexadecimal."""
    address, _, port = text.partition(":")
    if len(address) == _WORD_DIGITS:
        return MAPPED_PREFIX + _word(address), int(port, 16)
    if len(address) == 4 * _WORD_DIGITS:
        words = [_word(address[at : at + _WORD_DIGITS]) for at in range(0, len(address), _WORD_DIGITS)]
        return b"".join(words), int(port, 16)
    raise ValueError(f"{text!r} is not an address of a socket table")


def _word(digits: str) -> bytes:
    return int(digits, 16).to_bytes(_WORD_BYTES, sys.byteorder)


def parse_fib_trie(lines: Iterable[str]) -> Iterator[bytes]:
    """IPv4 addresses local to a network namespace, mapped to 16 bytes, each once: the "/32 host LOCAL" leaves."""
    address: bytes | None = None
    seen: set[bytes] = set()
    for line in lines:
        text = line.strip()
        if text.startswith("|-- "):
            try:
                address = MAPPED_PREFIX + ipaddress.IPv4Address(text[4:]).packed
            except ValueError:
                address = None
        elif text == "/32 host LOCAL" and address is not None and address not in seen:
            seen.add(address)
            yield address


def parse_if_inet6(lines: Iterable[str]) -> Iterator[bytes]:
    """IPv6 addresses local to a network namespace: the first column of /proc/net/if_inet6."""
    for line in lines:
        columns = line.split()
        if not columns:
            continue
        try:
            address = bytes.fromhex(columns[0])
        except ValueError:
            continue
        if len(address) == 4 * _WORD_BYTES:
            yield address


def is_loopback(address: bytes) -> bool:
    """True for 127.0.0.0/8 (mapped) and ::1."""
    return address.startswith(MAPPED_PREFIX + b"\x7f") or address == bytes(15) + b"\x01"
