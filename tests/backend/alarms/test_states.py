"""How alarms begin, repeat and end: by table, and against countdowns as Apache SkyWalking has them."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alarms.states import CALM, Periods, Progress, State, advance

N, F, S, O, R = State  # noqa: E741 - as the tables below are read


def states(periods: Periods, held: str) -> list[State]:
    """The state after each minute; `x` is one in which the rule holds."""
    progress, found = CALM, []
    for minute in held:
        progress = advance(progress, periods, held=minute == "x")
        found.append(progress.state)
    return found


@pytest.mark.parametrize(
    ("silence", "recovery", "held", "expected"),
    [
        (0, 0, "..", [N, N]),
        (0, 0, "x.x.", [F, R, F, R]),
        (0, 0, "xxx", [F, F, F]),
        (2, 0, "xxxx", [F, S, S, F]),
        (2, 0, "x....", [F, O, O, R, N]),
        (2, 0, "xx.x.", [F, S, O, F, O]),
        (0, 2, "x....", [F, O, O, R, N]),
        (0, 2, "x..x...", [F, O, O, F, O, O, R]),
        (3, 1, "x..x...", [F, O, O, S, O, R, N]),
        (1, 3, "x.....", [F, O, O, O, R, N]),
        (0, 1, "x..x", [F, O, R, F]),
    ],
)
def test_the_states_of_minutes(silence: int, recovery: int, held: str, expected: list[State]) -> None:
    assert states(Periods(silence, recovery), held) == expected


@dataclass
class Countdowns:
    """The same with two numbers that count down, the way SkyWalking goes about it."""

    periods: Periods
    state: State = N
    silence: int = -1
    observation: int = 0

    def step(self, *, held: bool) -> State:
        self.silence -= 1
        if held:
            # SkyWalking sets this back only on the way into FIRING: in a silence, calm minutes before the rule held
            # again count as if they were in a row with those after it.
            self.observation = self.periods.recovery
            if self.state is N or self.silence < 0:
                self.state, self.silence = F, self.periods.silence
            else:
                self.state = S
            return self.state
        self.observation -= 1
        if self.state in {N, R}:
            self.state, self.observation = N, self.periods.recovery
        elif self.observation < 0 and self.silence < 0:
            self.state, self.observation = R, self.periods.recovery
        elif self.state is not O:
            self.state, self.observation = O, self.periods.recovery - 1
        return self.state


@given(
    st.builds(Periods, st.integers(0, 5), st.integers(0, 5)),
    st.lists(st.booleans(), max_size=60),
)
def test_the_states_are_those_of_skywalking(periods: Periods, held: list[bool]) -> None:
    progress, other = CALM, Countdowns(periods)
    for minute in held:
        progress = advance(progress, periods, held=minute)
        assert progress.state is other.step(held=minute)


@given(
    st.lists(st.tuples(st.builds(Periods, st.integers(0, 4), st.integers(0, 4)), st.booleans()), max_size=60),
)
def test_what_is_remembered_is_bounded_whatever_the_periods_become(minutes: list[tuple[Periods, bool]]) -> None:
    progress = CALM
    for periods, held in minutes:
        progress = advance(progress, periods, held=held)
        assert 0 <= progress.since_told <= 5
        assert 0 <= progress.calm <= 5
        if progress.state in {N, F, R}:
            assert progress == Progress(progress.state)
