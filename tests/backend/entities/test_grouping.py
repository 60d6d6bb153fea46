import pytest

from backend.entities.grouping import Grouping
from backend.entities.grouping_rules import read_rules

RULES = {"grouping": [{"service-name": "shop", "rules": ["/carts/{cart}"]}]}


@pytest.mark.parametrize(
    ("service", "name", "automatic", "without"),
    [
        ("shop", "GET:/carts/4711", "GET:/carts/{cart}", "GET:/carts/{cart}"),
        ("shop", "GET:/orders/4711", "GET:/orders/{number}", "GET:/orders/4711"),
        ("cart", "GET:/carts/4711", "GET:/carts/{number}", "GET:/carts/4711"),
        ("cart", "GET:/details/0", "GET:/details/0", "GET:/details/0"),
        ("cart", "CONNECT:example.org:4430", "CONNECT:example.org:4430", "CONNECT:example.org:4430"),
        ("cart", "OPTIONS:*", "OPTIONS:*", "OPTIONS:*"),
    ],
)
def test_rules_go_first_and_identifiers_are_grouped_where_none_matches(
    service: str, name: str, automatic: str, without: str
) -> None:
    assert Grouping(read_rules(RULES, "f")).group(service, name) == automatic
    assert Grouping(read_rules({**RULES, "automatic": False}, "f")).group(service, name) == without
