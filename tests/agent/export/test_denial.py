"""How long a batch is kept for a backend that does not take the agent: times are played, none is waited for."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.denial import Denial
from agent.export.transport import Attempt, Outcome

DENIED = Attempt(Outcome.DENIED, "PERMISSION_DENIED: no")
SECONDS = 600.0


def test_a_new_batch_is_kept_for_its_time() -> None:
    denial = Denial(SECONDS)
    denial.note(DENIED, 100.0)
    assert denial.keeps(100.0, 100.0 + SECONDS - 0.1)
    assert not denial.keeps(100.0, 100.0 + SECONDS)


def test_a_batch_that_waited_for_an_outage_has_the_time_of_the_denials() -> None:
    denial = Denial(SECONDS)
    denial.note(DENIED, 10_000.0)
    assert denial.keeps(0.0, 10_000.0 + SECONDS - 0.1)
    assert not denial.keeps(0.0, 10_000.0 + SECONDS)


def test_a_batch_that_came_while_denials_lasted_has_a_time_of_its_own() -> None:
    denial = Denial(SECONDS)
    denial.note(DENIED, 0.0)
    assert denial.keeps(5_000.0, 5_000.0 + SECONDS - 0.1)
    assert not denial.keeps(5_000.0, 5_000.0 + SECONDS)


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.REFUSED, Outcome.DOUBTFUL])
def test_an_answer_of_a_backend_that_takes_the_agent_ends_them(outcome: Outcome) -> None:
    denial = Denial(SECONDS)
    denial.note(DENIED, 0.0)
    denial.note(Attempt(outcome), 500.0)
    denial.note(DENIED, 1_000.0)
    assert denial.keeps(0.0, 1_000.0 + SECONDS - 0.1)


def test_an_attempt_that_nobody_answered_does_not() -> None:
    denial = Denial(SECONDS)
    denial.note(DENIED, 0.0)
    denial.note(Attempt(Outcome.RETRY), 500.0)
    denial.note(DENIED, 1_000.0)
    assert not denial.keeps(0.0, 1_000.0)


def test_beginning_and_end_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    denial = Denial(SECONDS)
    for now in (0.0, 1.0, 2.0):
        denial.note(DENIED, now)
    for now in (90.0, 91.0):
        denial.note(Attempt(Outcome.DELIVERED), now)
    first, last = caplog.messages
    assert first == (
        "the backend does not take this agent's token or certificate (PERMISSION_DENIED: no): logs are kept for 600 s"
        " at least; set core.backend.authentication_file or client_pem_path to what the backend takes"
    )
    assert last == "the backend takes this agent's token and certificate again, after 90 s"


@given(
    st.lists(st.tuples(st.sampled_from(list(Outcome)), st.floats(0, 500)), min_size=1, max_size=30),
    st.floats(0, 5_000),
    st.floats(1, 900),
)
def test_none_is_given_up_before_it_has_waited_and_denials_have_lasted(
    attempts: list[tuple[Outcome, float]], came: float, seconds: float
) -> None:
    denial = Denial(seconds)
    now = came
    streak: list[float] = []
    for outcome, pause in attempts:
        now += pause
        denial.note(Attempt(outcome), now)
        if outcome is Outcome.DENIED:
            streak.append(now)
        elif outcome is not Outcome.RETRY:
            streak.clear()
    given_up = bool(streak) and now - came >= seconds and now - streak[0] >= seconds
    assert denial.keeps(came, now) is not given_up
