import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.entities.endpoints import ABANDONED, LIFETIME, EndpointNames, endpoint_name
from tests.clock import Clock


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("Get", "/orders/7", "GET:/orders/7"),
        ("PROPFIND", "/", "PROPFIND:/"),
        ("propFind", "/", "PROPFIND:/"),
        ("Get", "/a?b=/c?d", "GET:/a"),
        ("Get", "/a#b?c", "GET:/a"),
        ("Get", "/Ä", "GET:/Ä"),
        ("Options", "*", "OPTIONS:*"),
        ("Connect", "example.org:443", "CONNECT:example.org:443"),
        ("Get", "", "GET:"),
        ("Get", "/" + "x" * 200, "GET:/" + "x" * 200),
    ],
)
def test_names(method: str, path: str, name: str) -> None:
    assert endpoint_name(method, path) == name


def test_a_service_has_so_many_endpoints_and_no_more() -> None:
    names = EndpointNames(2)
    assert [names.admit("a", name) for name in ("x", "y", "z", "x", "y")] == ["x", "y", ABANDONED, "x", "y"]
    assert names.admit("b", "z") == "z"
    assert len(names) == 3


def test_all_services_together_have_so_many_endpoints_and_no_more() -> None:
    names = EndpointNames(2, 3)
    assert [names.admit(service, "x") for service in "abcd"] == ["x", "x", "x", ABANDONED]
    assert names.admit("a", "y") == ABANDONED


def test_names_that_are_no_longer_used_make_room() -> None:
    clock = Clock()
    names = EndpointNames(2, 2, clock)
    names.admit("a", "x")
    names.admit("a", "y")
    clock.now = LIFETIME
    assert names.admit("a", "x") == "x"
    # y was used within the last lifetime: a new name may not take its place yet.
    assert names.admit("a", "z") == ABANDONED
    assert names.admit("b", "z") == ABANDONED
    clock.now = 2 * LIFETIME
    assert names.admit("a", "z") == "z"
    assert names.admit("a", "y") == ABANDONED
    assert names.admit("a", "x") == "x"
    assert len(names) == 2


@given(
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.booleans()), max_size=60),
    maximum=st.integers(1, 4),
)
def test_whatever_comes_the_bounds_hold_and_what_is_used_stays(
    steps: list[tuple[str, int, bool]], maximum: int
) -> None:
    clock = Clock()
    names = EndpointNames(maximum, 6, clock)
    lately: list[set[tuple[str, str]]] = [set(), set()]
    for service, number, turn in steps:
        if turn:
            clock.now += LIFETIME
            lately = [lately[1], set()]
        name = f"GET:/{number}"
        found = names.admit(service, name)
        known = (service, name) in lately[0] | lately[1]
        assert found == name or not known
        if found == name:
            lately[1].add((service, name))
        alive = lately[0] | lately[1]
        assert len(names) == len(alive) <= 6
        assert all(sum(of == each for of, _ in alive) <= maximum for each in "ab")
        if found == ABANDONED:
            assert len(alive) == 6 or sum(of == service for of, _ in alive) == maximum
