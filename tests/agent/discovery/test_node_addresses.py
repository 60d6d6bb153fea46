import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery import node_addresses
from agent.discovery.node_addresses import NodeAddresses, is_reachable
from agent.export.heads import address_text
from backend.entities.addresses import hosts
from backend.ingest.batch import Node
from tests.agent.synthetic import address


@pytest.mark.parametrize(
    ("text", "reachable"),
    [
        ("10.0.0.7", True),
        ("169.255.0.1", True),
        ("203.0.113.9", True),
        ("100.64.0.1", True),
        ("2001:db8::7", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("169.254.25.10", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("febf::1", False),
        ("ff02::1", False),
    ],
)
def test_addresses_that_lead_here_from_elsewhere(text: str, reachable: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_reachable(address(text)) is reachable


def test_as_many_as_there_is_room_for_and_the_rest_is_counted() -> None:
    addresses = NodeAddresses(2)
    first, second, third = (address(f"10.0.0.{at}") for at in (3, 1, 2))
    assert addresses.listed([address("::1"), first, second, first, third]) == (first, second)
    assert addresses.losses() == {"node addresses without room": 1}
    assert addresses.listed([third]) == (third,)
    assert addresses.losses() == {"node addresses without room": 0}


@given(st.lists(st.ip_addresses(), min_size=1, max_size=20))
def test_the_book_of_hosts_keeps_exactly_what_is_told(values: list[object]) -> None:
    told = NodeAddresses().listed(address(str(value)) for value in values)
    book = hosts.HostBook(minute=lambda: 1)
    node = Node("node-1", "", 0, {})
    book.hear(node, [str(value) for value in values])
    found = [value for value in values if book.find(str(value), 80, node, 1) is not None]
    assert {address_text(each) for each in told} == {address_text(address(str(value))) for value in found}


def test_the_bound_is_that_of_the_book_of_hosts() -> None:
    assert node_addresses.MAXIMUM_ADDRESSES == hosts.MAXIMUM_ADDRESSES
