"""Messages of rtnetlink, and real ones, beside what `ip` and /proc say."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery import rtnetlink
from agent.discovery.procfs import ProcHost
from agent.discovery.rtnetlink import InterfaceAddress, RtnetlinkError, interface_addresses, parse
from agent.discovery.socket_table import MAPPED_PREFIX, parse_fib_trie, parse_if_inet6
from tests.agent.discovery.test_procfs import while_it_stays
from tests.agent.synthetic import address

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _message(interface: int, *attributes: bytes, family: int = socket.AF_INET, flags: int = 0, kind: int = 20) -> bytes:
    body = struct.pack("=BBBBI", family, 24, flags, 0, interface) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def test_the_own_end_of_a_link_counts() -> None:
    ends = _attribute(1, bytes((10, 0, 0, 2))), _attribute(2, bytes((10, 0, 0, 1)))
    assert parse(_message(7, *ends) + DONE) == ([InterfaceAddress(7, address("10.0.0.1"))], True)


def test_ipv6_addresses_and_what_is_no_address() -> None:
    other = _message(1, _attribute(1, b"abcd"), kind=24)
    found = _message(3, _attribute(1, address("2001:db8::7")), family=socket.AF_INET6)
    unknown = _message(3, _attribute(1, bytes(20)), family=28)
    assert parse(other + found + unknown) == ([InterfaceAddress(3, address("2001:db8::7"))], False)


@pytest.mark.parametrize(
    ("flags", "more", "used"), [(0x08, None, 0), (0x40, None, 0), (0x80, 0xC0, 0), (0x80, 0x280, 1)]
)
def test_addresses_that_another_host_may_have_are_left_out(flags: int, more: int | None, used: int) -> None:
    attributes = [_attribute(1, address("2001:db8::7"))]
    if more is not None:
        attributes.append(_attribute(8, struct.pack("=I", more)))
    assert len(parse(_message(3, *attributes, family=socket.AF_INET6, flags=flags))[0]) == used


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"abc", "shorter than its header"),
        (struct.pack("=IHHII", 8, 20, 0, 0, 0), "a message of 8 bytes where 16 are left"),
        (struct.pack("=IHHII", 99, 20, 0, 0, 0), "a message of 99 bytes where 16 are left"),
        (struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -1), "the kernel refuses"),
        (struct.pack("=IHHIIi", 20, 20, 0, 0, 0, 2), "an address shorter than its header"),
        (_message(1, struct.pack("=HH", 3, 1)), "an attribute of 3 bytes"),
        (_message(1, struct.pack("=HH", 9, 1)), "an attribute of 9 bytes"),
    ],
)
def test_what_cannot_be_an_answer(data: bytes, message: str) -> None:
    with pytest.raises(RtnetlinkError, match=message):
        parse(data)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda body: _message(1, body)))
def test_any_bytes_are_addresses_or_an_error(data: bytes) -> None:
    try:
        found, _ = parse(data)
    except RtnetlinkError:
        return
    assert all(len(each.address) == 16 for each in found)


def test_the_kernel_tells_what_its_tables_say() -> None:
    tables = Path("/proc/self/net")

    def listed() -> set[bytes]:
        return {
            *parse_fib_trie((tables / "fib_trie").read_text().splitlines()),
            *parse_if_inet6((tables / "if_inet6").read_text().splitlines()),
        }

    expected, found = while_it_stays(listed, interface_addresses)
    assert {each.address for each in found} <= expected
    assert address("127.0.0.1") in ProcHost().addresses()


def test_without_an_answer_the_addresses_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    host = ProcHost()
    before = host.addresses()

    def fail() -> tuple[InterfaceAddress, ...]:
        raise RtnetlinkError("as the test wants")

    monkeypatch.setattr("agent.discovery.procfs.interface_addresses", fail)
    assert host.addresses() == before != ()


def test_a_kernel_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtnetlink, "dump_request", lambda: struct.pack("=IHHII", 16, 0, 0, 0, 0))  # NOOP, without ack
    monkeypatch.setattr(rtnetlink, "SECONDS", 0.01)
    with pytest.raises(RtnetlinkError, match="does not tell the addresses"):
        interface_addresses()


SETUP = """
ip link add outer mtu 1400 type veth peer name inner && ip link add kube-ipvs0 type veth peer name service &&
ip address add 10.9.0.1/24 dev outer && ip address add 10.9.1.1 peer 10.9.1.2 dev inner &&
ip address add 10.96.0.1/32 dev kube-ipvs0 && ip link set outer up && ip link set lo up || exit 9
ip -json address show && exec "$@"
"""
PROGRAM = """
import json
from agent.discovery.procfs import ProcHost
from agent.discovery.rtnetlink import interface_addresses
print()
print(json.dumps([[(each.interface, each.address.hex()) for each in interface_addresses()],
                  [each.hex() for each in ProcHost().addresses()]]))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="making a network namespace with addresses needs root, unshare and ip",
)
def test_addresses_are_those_that_ip_shows_and_those_of_services_are_left_out() -> None:
    command = ["unshare", "--net", "sh", "-c", SETUP, "sh", sys.executable, "-c", PROGRAM]
    made = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if made.returncode == 9:
        pytest.skip("this machine makes no network namespaces with interfaces")
    assert made.returncode == 0, made.stderr
    shown, told = made.stdout.split("\n\n")
    found, addresses = json.loads(told)
    expected = [
        (link["ifindex"], address(entry["local"]).hex())
        for link in json.loads(shown)
        for entry in link["addr_info"]
        if not entry.get("tentative")
    ]
    assert [each for each in map(tuple, found) if each in expected] == expected
    listed = [bytes.fromhex(each) for each in addresses]
    assert [each for each in listed if each.startswith(MAPPED_PREFIX)] == [
        address(text) for text in ("127.0.0.1", "10.9.1.1", "10.9.0.1")
    ]
