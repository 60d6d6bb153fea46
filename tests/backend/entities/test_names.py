import pytest

from backend.entities.names import NameLimits, namespace_of


def test_limits_are_those_of_upstream() -> None:
    assert NameLimits() == NameLimits(70, 70, 150)


def test_what_is_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="limit of endpoint names is 0: it must be at least 1"):
        NameLimits(endpoint=0)


@pytest.mark.parametrize(
    ("service", "namespace"),
    [
        ("shop.default", "default"),
        ("east::shop.default", "default"),
        ("shop", ""),
        ("east::shop", ""),
        ("", ""),
        (".default", ""),
        ("shop.", ""),
        ("a.b.c", "c"),
    ],
)
def test_the_namespace_stands_behind_the_last_dot(service: str, namespace: str) -> None:
    assert namespace_of(service) == namespace
