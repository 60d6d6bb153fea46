import pytest

from backend.entities.names import NameLimits


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
