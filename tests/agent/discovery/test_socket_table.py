import ipaddress
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.socket_table import SocketRow, is_loopback, parse_fib_trie, parse_if_inet6, parse_socket_table
from tests.agent.synthetic import address

LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the sample is from a little-endian machine")
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 651 1 0 100 0 0 10 0
   1: 020200C0:A6BC 507100CB:0050 06 00000000:00000000 03:000015D6 00000000     0        0 0 3 00000000eac29d18
   2: 020200C0:A6BD 507100CB:0050 01 00000000:00000000 00:00000000 00000000  1000        0 777 1 0 20 4 30 10 -1
   3: 0000000000000000FFFF00000100007F:C94C 00000000000000000000000001000000:9F9F 01 0:0 0:0 0 0 0 778 1
   4: nonsense
   5: 0100007F:07E8 zz:0000 0A 0:0 0:0 0 0 0 9 1
"""


@LITTLE
def test_rows_of_a_table() -> None:
    rows = list(parse_socket_table(TABLE.splitlines()))
    any_address = address("0.0.0.0")
    assert rows == [
        SocketRow(address("127.0.0.1"), 2024, any_address, 0, 10, 651),
        SocketRow(address("192.0.2.2"), 42685, address("203.0.113.80"), 80, 1, 777),
        SocketRow(address("127.0.0.1"), 51532, address("::1"), 40863, 1, 778),
    ]
    assert [row.listening for row in rows] == [True, False, False]


@given(st.binary(min_size=16, max_size=16), st.integers(0, 65535), st.integers(0, 65535), st.integers(1, 2**32))
def test_any_ipv6_row_comes_back(packed: bytes, local_port: int, remote_port: int, inode: int) -> None:
    words = "".join(f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, 16, 4))
    line = f" 0: {words}:{local_port:04X} {words}:{remote_port:04X} 01 0:0 0:0 0 0 0 {inode} 1"
    (row,) = parse_socket_table([line])
    assert row == SocketRow(packed, local_port, packed, remote_port, 1, inode)


@given(st.text())
def test_text_of_any_kind_is_skipped_or_read_but_never_raises(text: str) -> None:
    list(parse_socket_table(text.splitlines()))
    list(parse_fib_trie(text.splitlines()))
    list(parse_if_inet6(text.splitlines()))


def test_local_addresses_of_a_namespace() -> None:
    trie = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.1
              /32 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
Local:
     |-- 192.0.2.2
        /32 host LOCAL
"""
    assert list(parse_fib_trie(trie.splitlines())) == [address("127.0.0.1"), address("192.0.2.2")]
    inet6 = ["fd000000000000000000000000000002 04 40 00 82     eth0", "zz 1", "00 1", ""]
    assert list(parse_if_inet6(inet6)) == [address("fd00::2")]


@given(st.ip_addresses())
def test_loopback_is_what_the_standard_library_says(value: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(value, "ipv4_mapped", None)
    assert is_loopback(address(str(value))) == (value.is_loopback if mapped is None else mapped.is_loopback)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.255.255", "::1"])
def test_loopback(text: str) -> None:
    assert is_loopback(address(text))
