"""Answers in the shape of SkyWalking's `execExpression`."""

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.query.mqe.answer import execute, format_values, shape
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.results import Owner, Result, ResultType, Series
from tests.backend.query.mqe.readers import DictReader
from tests.backend.query.mqe.reference import Data

DURATION = Duration(1_691_658_000, 2, Step.HOUR)
DATA: Data = {
    "time": {
        (("p", "50"),): {1_691_658_000: 1_000.0},
        (("p", "75"),): {1_691_658_000: 2_000.0, 1_691_661_600: 3_000.0},
    },
    "calls": {(): {1_691_658_000: 1.0, 1_691_661_600: 3.0}},
}


def answer(text: str) -> object:
    return msgspec.to_builtins(execute(text, DictReader(DATA), DURATION))


def value(number: str | None, identity: str | None = None) -> dict[str, object]:
    return {"id": identity, "value": number, "owner": None, "traceID": None}


def test_values_over_time_with_labels() -> None:
    assert answer("time / 1000") == {
        "type": "TIME_SERIES_VALUES",
        "error": None,
        "results": [
            {
                "metric": {"labels": [{"key": "p", "value": "50"}]},
                "values": [value("1", "1691658000000"), value(None, "1691661600000")],
            },
            {
                "metric": {"labels": [{"key": "p", "value": "75"}]},
                "values": [value("2", "1691658000000"), value("3", "1691661600000")],
            },
        ],
    }


def test_single_values() -> None:
    assert answer("avg(calls) / 3") == {
        "type": "SINGLE_VALUE",
        "error": None,
        "results": [{"metric": {"labels": []}, "values": [value("0.667")]}],
    }
    assert answer("max(calls)") == {
        "type": "SINGLE_VALUE",
        "error": None,
        "results": [{"metric": {"labels": []}, "values": [value("3", "1691661600000")]}],
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("calls calls", "at column 7: 'calls' cannot stand here: expected '(' or '{' or an operator or the end"),
        ("calls + cals", "at column 9: there is no metric 'cals'"),
    ],
)
def test_errors_are_in_the_answer(text: str, error: str) -> None:
    assert answer(text) == {"type": "UNKNOWN", "error": error, "results": []}


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (
            Owner("s.1", "Service", "s.1", "s", normal=True, name="s"),
            {"serviceInstanceID": None, "serviceInstanceName": None, "endpointID": None, "endpointName": None},
        ),
        (
            Owner("s.1_i", "ServiceInstance", "s.1", "s", normal=True, instance_name="i", name="s - i"),
            {"serviceInstanceID": "s.1_i", "serviceInstanceName": "i", "endpointID": None, "endpointName": None},
        ),
        (
            Owner("s.1_e", "Endpoint", "s.1", "s", normal=True, endpoint_name="e", name="e"),
            {"serviceInstanceID": None, "serviceInstanceName": None, "endpointID": "s.1_e", "endpointName": "e"},
        ),
    ],
)
def test_lists_name_the_owners(owner: Owner, expected: dict[str, object]) -> None:
    result = Result(ResultType.SORTED_LIST, (Series((), np.array([1.5]), (owner,)),))
    common = {"scope": owner.scope, "serviceID": "s.1", "serviceName": "s", "normal": True}
    assert msgspec.to_builtins(shape(result)) == {
        "type": "SORTED_LIST",
        "error": None,
        "results": [
            {
                "metric": {"labels": []},
                "values": [{"id": owner.name, "value": "1.5", "traceID": None, "owner": common | expected}],
            }
        ],
    }


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_have_at_most_three_decimal_places(number: float) -> None:
    (text,) = format_values([number])
    assert text is not None
    exact = Decimal(number)
    rounded = exact.quantize(Decimal("0.001"), ROUND_HALF_EVEN) if abs(exact) < 10**20 else exact
    assert Decimal(text) == rounded
    assert "E" not in text
    assert text == "0" or not text.startswith("-0") or "." in text
    assert not ("." in text and text.endswith(("0", ".")))


def test_numbers_as_text() -> None:
    numbers = [0.0005, 0.0015, 1234567.5, -0.0001, 1e20, float("nan")]
    assert format_values(numbers) == ["0.001", "0.002", "1234567.5", "0", "100000000000000000000", None]
