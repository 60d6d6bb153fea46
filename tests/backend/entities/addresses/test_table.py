"""Names in a file, compared with going through all of them."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.entities.addresses.table import MAXIMUM_NAMES, NameBook, NameTable, read_names
from backend.entities.resolution import End
from common.yaml_file import YamlFileError
from tests.backend.entities.addresses.world import asking

EXAMPLE = """
10.20.0.0/16: warehouse
10.20.30.0/24: {service: cold-store}
192.0.2.7: {service: payments, instance: payments-1}
"2001:db8::/32": partner
"""


def book(path: Path, content: str) -> NameBook:
    path.write_text(content)
    return NameBook(read_names(path))


def find(names: NameBook, host: str) -> End | None:
    return names.find(host, 80, asking(), 0)


def test_the_smallest_network_counts(tmp_path: Path) -> None:
    names = book(tmp_path / "names.yml", EXAMPLE)
    assert len(names) == 4
    assert find(names, "10.20.1.1") == End("warehouse", "")
    assert find(names, "::ffff:10.20.30.1") == End("cold-store", "")
    assert find(names, "192.0.2.7") == End("payments", "payments-1")
    assert find(names, "2001:DB8:1::5") == End("partner", "")
    assert [find(names, host) for host in ("192.0.2.8", "2001:db9::", "warehouse", "")] == [None] * 4
    assert names.misses == 4


_NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4, network="10.0.0.0/28"), st.integers(26, 32)),
    st.tuples(st.ip_addresses(v=6, network="fd00::/124"), st.integers(0, 128)),
).map(lambda given_: ipaddress.ip_network((given_[0], given_[1]), strict=False))


@given(st.dictionaries(_NETWORKS, st.sampled_from("abc").map(lambda name: End(name, "")), max_size=12))
def test_any_table_finds_what_going_through_it_finds(
    names: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, End],
) -> None:
    table = NameTable(names)
    for network in ("10.0.0.0/27", "fd00::/123"):
        for address in ipaddress.ip_network(network):
            holding = [each for each in names if address in each]
            expected = names[max(holding, key=lambda each: each.prefixlen)] if holding else None
            assert table.find(address.packed) == expected


def test_another_table_counts_from_now_on(tmp_path: Path) -> None:
    names = book(tmp_path / "names.yml", EXAMPLE)
    assert names.version == 0
    names.replace(NameTable({ipaddress.ip_network("10.20.0.0/16"): End("new", "")}))
    assert (names.version, find(names, "10.20.1.1"), find(names, "192.0.2.7")) == (1, End("new", ""), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("10.20.0.1/16: a", "10.20.0.1/16: must be an address or a network.*has host bits set"),
        ("nowhere: a", "nowhere: must be an address or a network"),
        ("5: a", "5: must be an address or a network"),
        ("10.0.0.1: 5", "10.0.0.1: must have a name"),
        ("10.0.0.1: {name: a}", "10.0.0.1: must have a name"),
        ("10.0.0.1: {service: 5}", "10.0.0.1: must have a name"),
        ("10.0.0.1: {instance: a}", "10.0.0.1: must name a service"),
        ("10.0.0.1: '  '", "10.0.0.1: must name a service"),
        ("10.0.0.1: Unknown", "10.0.0.1: must name a service, and not 'Unknown'"),
        ("{10.0.0.1: a, 10.0.0.1/32: b}", "10.0.0.1/32: names 10.0.0.1/32 for the second time"),
        ("- a", "must hold keys and values"),
    ],
)
def test_what_is_wrong_is_said_with_the_entry(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(YamlFileError, match=said):
        book(tmp_path / "names.yml", content)


def test_a_table_that_is_too_large_is_refused(tmp_path: Path) -> None:
    content = "".join(f'"fd00::{number:x}": a\n' for number in range(MAXIMUM_NAMES + 1))
    with pytest.raises(YamlFileError, match="has 10,001 entries; 10,000 are the most: name larger networks"):
        book(tmp_path / "names.yml", content)
    assert len(book(tmp_path / "names.yml", content[: content.rindex('"fd00')])) == MAXIMUM_NAMES


def test_an_empty_file_names_nothing(tmp_path: Path) -> None:
    assert len(book(tmp_path / "names.yml", "")) == 0
