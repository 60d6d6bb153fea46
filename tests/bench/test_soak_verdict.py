"""bench/soak_verdict.py: what leaks grows, what only moves is flat."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.soak_verdict import FEWEST_SAMPLES, Allowance, find_trend

ALLOWANCE = Allowance(0.10, 8.0)
TIMES = [2.0 * number for number in range(100)]


@given(st.floats(0.1, 100), st.floats(0, 1000))
def test_the_slope_of_a_line_is_exact(slope: float, begin: float) -> None:
    trend = find_trend("line", TIMES, [begin + slope * at for at in TIMES], ALLOWANCE)
    assert trend.hourly == pytest.approx(slope * 3600)
    assert trend.growth == pytest.approx(slope * 198)
    assert trend.allowed == pytest.approx(max(8.0, (begin + slope * 99) / 10))
    assert trend.verdict == ("grows" if trend.growth > trend.allowed else "flat")


def test_a_leak_shows_through_noise() -> None:
    chance = random.Random(1)
    values = [200 + 0.25 * at + chance.gauss(0, 5) for at in TIMES]
    trend = find_trend("leak", TIMES, values, ALLOWANCE)
    assert trend.verdict == "grows"
    assert trend.growth == pytest.approx(49.5, abs=12)


def test_what_follows_another_figure_is_judged_by_what_it_grows_more_than_that() -> None:
    machine = [300 + at for at in TIMES]
    allowance = Allowance(0.1, 8.0, beside="programs of the machine")
    follows = find_trend("processes", TIMES, [50 + at for at in TIMES], allowance, machine)
    assert (follows.growth, follows.hourly, follows.verdict) == (0.0, 3600.0, "flat")
    leaks = find_trend("processes", TIMES, [50 + 1.5 * at for at in TIMES], allowance, machine)
    assert leaks.growth == pytest.approx(0.5 * TIMES[-1])
    assert leaks.verdict == "grows"


def test_what_is_only_told_has_no_verdict() -> None:
    assert find_trend("programs", TIMES, TIMES, Allowance(math.inf, math.inf)).verdict == "told"


@pytest.mark.parametrize(
    "values",
    [
        [100.0] * 100,
        [100.0] * 40 + [900.0] * 10 + [100.0] * 50,  # a fault, and back
        [100.0 + number % 20 * 5 for number in range(100)],  # fills and is emptied
        [200.0 - number for number in range(100)],
    ],
    ids=["constant", "a peak", "teeth of a saw", "falling"],
)
def test_what_comes_back_is_flat(values: list[float]) -> None:
    assert find_trend("flat", TIMES, values, ALLOWANCE).verdict == "flat"


def test_the_first_and_the_last_tenth_and_the_most_are_told() -> None:
    values = [1.0] * 5 + [2.0] * 5 + [50.0] * 80 + [7.0] * 10
    trend = find_trend("steps", TIMES, values, ALLOWANCE)
    assert (trend.samples, trend.first, trend.last, trend.most) == (100, 1.5, 7.0, 50.0)


def test_there_is_no_verdict_from_too_little() -> None:
    few = FEWEST_SAMPLES - 1
    assert find_trend("few", TIMES[:few], TIMES[:few], ALLOWANCE).verdict == "too short"
    assert find_trend("enough", TIMES[: few + 1], TIMES[: few + 1], ALLOWANCE).verdict == "grows"
    assert find_trend("slow", TIMES, TIMES, Allowance(0.1, 8.0, period=99.1)).verdict == "too short"
    assert find_trend("slow", TIMES, TIMES, Allowance(0.1, 8.0, period=99.0)).verdict == "grows"
    assert find_trend("one moment", [3.0] * 20, TIMES[:20], ALLOWANCE).hourly == 0


def test_what_may_move_is_no_finding() -> None:
    rising = [1000 + at / 2 for at in TIMES]
    assert find_trend("within a share", TIMES, rising, Allowance(0.10, 0.0)).verdict == "flat"
    assert find_trend("beyond it", TIMES, rising, Allowance(0.05, 0.0)).verdict == "grows"
    assert find_trend("within the least", TIMES, rising, Allowance(0.0, 100.0)).verdict == "flat"


def test_samples_need_no_order() -> None:
    times = [float(number) for number in range(5_000)]
    shuffled = random.Random(2).sample(times, len(times))
    trend = find_trend("shuffled", shuffled, shuffled, ALLOWANCE)
    assert (trend.samples, trend.most) == (len(times), times[-1])
    assert trend.hourly == pytest.approx(3600)


@pytest.mark.parametrize(("times", "values"), [([], []), ([1.0], []), ([1.0], [1.0, 2.0])])
def test_samples_without_times_are_refused(times: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match=f"{len(values)} samples of {len(times)} times"):
        find_trend("wrong", times, values, ALLOWANCE)
