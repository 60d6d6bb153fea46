"""What services are called, and which one a pod counts for."""

import itertools

import pytest

from common.kubernetes.naming import preferred_service, service_name, with_cluster


def test_names_are_those_of_rover() -> None:
    assert service_name("reviews", "shop") == "reviews.shop"
    assert with_cluster("", "reviews.shop") == "reviews.shop"
    assert with_cluster("east", "reviews.shop") == "east::reviews.shop"


@pytest.mark.parametrize(
    ("names", "preferred"),
    [
        ([], None),
        (["db"], "db"),
        (["db-headless", "db"], "db"),
        (["reviews", "details"], "details"),
        (["b", "a", "B"], "B"),
        (["aa", "b"], "b"),
    ],
)
def test_the_shortest_name_counts_and_then_the_first_one(names: list[str], preferred: str | None) -> None:
    assert {preferred_service(order) for order in itertools.permutations(names)} == {preferred}
