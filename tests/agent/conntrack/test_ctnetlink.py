import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

from agent.conntrack.ctnetlink import CtnetlinkError, Tracked, dump_request, parse
from agent.conntrack.watcher import dump, open_sockets
from tests.agent.conntrack import network
from tests.agent.conntrack.network import as_bytes
from tests.agent.discovery.test_procfs import while_it_stays

NEW, DESTROY = 0x100, 0x102
_PORTS = st.integers(0, 65535)


@st.composite
def _ends(draw: st.DrawFn) -> tuple[tuple[str, int], ...]:
    """Source, destination, far end, source as the far end has it; few values, so that many are equal."""
    version: Literal[4, 6] = draw(st.sampled_from([4, 6]))
    addresses = st.ip_addresses(v=version).map(str) | st.just("10.0.0.1" if version == 4 else "fd00::1")
    return tuple((draw(addresses), draw(_PORTS | st.just(80))) for _ in range(4))


def _tuple(source: tuple[str, int], destination: tuple[str, int], protocol: int) -> dict[str, object]:
    version = f"V{ipaddress.ip_address(source[0]).version}"
    return {
        "attrs": [
            (
                "CTA_TUPLE_IP",
                {"attrs": [(f"CTA_IP_{version}_SRC", source[0]), (f"CTA_IP_{version}_DST", destination[0])]},
            ),
            (
                "CTA_TUPLE_PROTO",
                {
                    "attrs": [
                        ("CTA_PROTO_NUM", protocol),
                        ("CTA_PROTO_SRC_PORT", source[1]),
                        ("CTA_PROTO_DST_PORT", destination[1]),
                    ]
                },
            ),
        ]
    }


def _message(kind: int, ends: tuple[tuple[str, int], ...], protocol: int, number: int) -> bytes:
    source, destination, far_end, new_source = ends
    message = nfct_msg()
    message["header"]["type"] = kind
    message["attrs"] = [
        ("CTA_TUPLE_ORIG", _tuple(source, destination, protocol)),
        ("CTA_TUPLE_REPLY", _tuple(far_end, new_source, protocol)),
        ("CTA_ID", number),
    ]
    message.encode()
    return bytes(message.data)


@given(
    st.lists(
        st.tuples(st.sampled_from([NEW, DESTROY]), _ends(), st.sampled_from([6, 17, 132]), st.integers(0, 2**32 - 1))
    )
)
def test_what_another_library_writes_is_read(
    messages: list[tuple[int, tuple[tuple[str, int], ...], int, int]],
) -> None:
    data = b"".join(_message(*message) for message in messages)
    assert parse(data).tracked == [
        Tracked(
            id=number,
            protocol=protocol,
            source=as_bytes(source),
            destination=as_bytes(destination),
            new_source=as_bytes(new_source),
            new_destination=as_bytes(far_end),
            ended=kind == DESTROY,
        )
        for kind, (source, destination, far_end, new_source), protocol, number in messages
        if destination != far_end and protocol in {6, 17}
    ]


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except CtnetlinkError as error:
        assert str(error)  # noqa: PT017 - it may or may not be raised


_ENDS = (("10.0.0.2", 1), ("10.96.0.1", 80), ("10.0.1.9", 8080), ("10.0.0.2", 1))


@given(st.integers(0, 200), st.integers(0, 255))
def test_damage_is_read_or_refused(at: int, value: int) -> None:
    data = bytearray(_message(NEW, _ENDS, 6, 1))
    data[at % len(data)] = value
    try:
        assert len(parse(bytes(data)).tracked) <= 1
    except CtnetlinkError as error:
        assert str(error)  # noqa: PT017 - it may or may not be raised


@given(st.integers(1, 150))
def test_a_message_cut_short_is_refused(cut: int) -> None:
    data = _message(NEW, _ENDS, 6, 1)
    with pytest.raises(CtnetlinkError):
        parse(data[: max(1, len(data) - cut)])


def test_a_refusal_of_the_kernel_says_why() -> None:
    refusal = (
        (20).to_bytes(4, "little") + (2).to_bytes(2, "little") + bytes(10) + (-1).to_bytes(4, "little", signed=True)
    )
    with pytest.raises(CtnetlinkError, match="error 1"):
        parse(refusal)
    assert not parse(refusal[:16] + bytes(4)).done  # error 0 is an acknowledgement


def test_the_request_is_what_another_library_writes() -> None:
    message = nfct_msg()
    message["header"].update({"type": 0x101, "flags": 0x301, "sequence_number": 0, "pid": 0})
    message.encode()
    assert dump_request() == bytes(message.data)


@contextmanager
def remembered_for_minutes() -> Iterator[None]:
    """The kernel forgets an exchange of datagrams after half a minute, which others may take to be made."""
    timeout = Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout")
    before = timeout.read_text()
    timeout.write_text("600")
    yield
    timeout.write_text(before)


@pytest.fixture
def connections() -> Iterator[None]:
    if reason := network.reason_to_skip():
        pytest.skip(reason)
    with network.network(), network.translation(), remembered_for_minutes():
        for version in (4, 6):
            for options in ((), ("--udp",)):
                with (
                    network.servers(version),
                    network.client(network.POD, network.SERVICE[version], 20, *options) as client,
                ):
                    client.exchanges()
        yield


@pytest.mark.usefixtures("connections")
def test_a_dump_says_what_another_library_reads() -> None:
    translated, ours = while_it_stays(_read_by_another_library, _dumped)
    assert len(translated) >= 80
    assert ours == translated


def _dumped() -> set[tuple[bytes, ...]]:
    events, requests = open_sockets()
    with events, requests:
        return {
            (one.source, one.destination, one.new_destination, one.new_source)
            for part in dump(requests)
            for one in part
        }


def _read_by_another_library() -> set[tuple[bytes, ...]]:
    theirs = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        with NFCTSocket(nfgen_family=family) as conntrack:
            theirs |= {
                (*_read(entry.get_attr("CTA_TUPLE_ORIG")), *_read(entry.get_attr("CTA_TUPLE_REPLY")))
                for entry in conntrack.dump()
                if entry.get_attr("CTA_TUPLE_ORIG").get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_NUM") in {6, 17}
            }
    return {one for one in theirs if one[1] != one[2]}


def _read(ends: nfct_msg) -> tuple[bytes, bytes]:
    addresses, numbers = ends.get_attr("CTA_TUPLE_IP"), ends.get_attr("CTA_TUPLE_PROTO")
    version = "V4" if addresses.get_attr("CTA_IP_V4_SRC") else "V6"
    source, destination = (
        as_bytes((addresses.get_attr(f"CTA_IP_{version}_{side}"), numbers.get_attr(f"CTA_PROTO_{side}_PORT")))
        for side in ("SRC", "DST")
    )
    return source, destination
