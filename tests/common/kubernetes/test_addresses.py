"""One form for each address, compared with the standard library's."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kubernetes.addresses import packed


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_four_bytes_however_it_is_written(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    forms = [str(address), f"::ffff:{address}", f"::FFFF:{address}", mapped.exploded, mapped.compressed]
    assert {packed(form) for form in forms} == {address.packed}


@given(st.builds(ipaddress.IPv6Address, st.integers(0, 2**128 - 1)).filter(lambda address: address.ipv4_mapped is None))
def test_an_ipv6_address_is_sixteen_bytes_however_it_is_written(address: ipaddress.IPv6Address) -> None:
    forms = [address.compressed, address.exploded, address.exploded.upper(), f"{address}%eth0"]
    assert {packed(form) for form in forms} == {address.packed}


@given(st.text() | st.from_regex(r"[0-9a-f:.%]*", fullmatch=True))
def test_what_is_an_address_is_what_the_standard_library_says(text: str) -> None:
    try:
        expected: bytes | None = ipaddress.ip_address(text).packed
    except ValueError:
        expected = None
    if expected is None:
        assert packed(text) is None or "%" in text  # a zone may be anything here
    else:
        assert packed(text) in {expected, expected[12:]}


@pytest.mark.parametrize(
    "text", ["", "None", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "api", "1.2.3.4\0", "é", ":::"]
)
def test_anything_else_is_no_address(text: str) -> None:
    assert packed(text) is None
