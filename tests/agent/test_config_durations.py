import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config_durations import Duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m", 60), ("1h30m", 5400), ("1.5s", 1.5), (" 2s ", 2)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "10x", "-5s", "1s2", "s10", "1..5s", "ten seconds"])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_duration(text)


@given(st.integers(1, 10**6))
def test_whole_seconds_come_back(seconds: int) -> None:
    assert parse_duration(f"{seconds}s") == parse_duration(f"{seconds * 1000}ms") == seconds


@pytest.mark.parametrize("value", ["0s", 0, -1, float("nan"), float("inf"), True, None, [1]])
def test_a_configured_duration_is_longer_than_nothing(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        Duration.parse(value)


def test_a_configured_number_means_seconds() -> None:
    assert Duration.parse(5) == Duration.parse("5s") == 5.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "250ms"), (1.5, "1500ms"), (5.0, "5s"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h")]
)
def test_durations_are_written_in_one_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(1, 10**9))
def test_what_is_written_is_read_again(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds
