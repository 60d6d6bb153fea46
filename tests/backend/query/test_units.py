"""Numbers as people read them."""

import pytest

from backend.query.units import duration, number, share, size, size_per_second, value_of_unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.052, "0.05"),
        (0.8, "0.80"),
        (1.0, "1"),
        (12.34, "12.3"),
        (100.4, "100"),
        (4560, "4,560"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1,023 B"),
        (1023.6, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024**2, "10 MiB"),
        (2**70, "1,048,576 PiB"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert size(value) == text
    assert size_per_second(value) == ("-" if value is None else f"{text}/s")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (850, "850 ns"),
        (999.9, "1.0 µs"),
        (12_340, "12.3 µs"),
        (4_500_000, "4.5 ms"),
        (9e10, "90 s"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert duration(value) == text


def test_units_of_the_api() -> None:
    assert value_of_unit(1536, "bytes") == "1.5 KiB"
    assert value_of_unit(1500, "ns") == "1.5 µs"
    assert value_of_unit(1500, "ms") == "1.5 s"
    assert value_of_unit(9950, "1/10000") == "99.50 %"
    assert value_of_unit(30, "per minute") == "30/min"
    assert value_of_unit(30, "count") == "30"
    for unit in ("bytes", "ns", "ms", "1/10000", "per minute", "count"):
        assert value_of_unit(None, unit) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1, "100 %"),
        (0.999999, "99.99 %"),
        (0.9995, "99.95 %"),
        (0.29, "29 %"),
        (0.5, "50 %"),
        (0.0, "0 %"),
        (2 / 3, "66.67 %"),
    ],
)
def test_a_share_is_never_more_than_it_is(value: float | None, text: str) -> None:
    assert share(value) == text
