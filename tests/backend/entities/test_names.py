import pytest

from backend.entities.names import NameLimits, namespace_of


def test_limits_are_those_of_upstream() -> None:
    assert NameLimits.from_environment({}) == NameLimits(70, 70, 150)


def test_the_environment_changes_them() -> None:
    limits = NameLimits.from_environment(
        {"SW_SERVICE_NAME_MAX_LENGTH": "10", "SW_INSTANCE_NAME_MAX_LENGTH": "20", "SW_ENDPOINT_NAME_MAX_LENGTH": "30"}
    )
    assert limits == NameLimits(10, 20, 30)
    assert NameLimits.from_environment({"SW_SERVICE_NAME_MAX_LENGTH": ""}) == NameLimits()


def test_what_is_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="SW_SERVICE_NAME_MAX_LENGTH='many' is not a whole number"):
        NameLimits.from_environment({"SW_SERVICE_NAME_MAX_LENGTH": "many"})
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
