"""agent/commands/undelivered.py: what a user is told of logs that did not arrive."""

import pytest

from agent.commands.undelivered import undelivered
from agent.export.transport import Outcome

BACKEND = "store:11800"
UNREACHED = (
    "not delivered: no backend took them at store:11800 in time (UNAVAILABLE: gone): see that one runs there, or name"
    " another with --backend"
)
DENIED = (
    "not delivered: the backend at store:11800 does not take this agent's token or certificate (UNAUTHENTICATED: who?):"
    " set core.backend.authentication_file or client_pem_path to what it takes"
)
REFUSED = (
    "not delivered: the backend at store:11800 refused them (UNIMPLEMENTED: what?): see that this is its port for"
    " agents, 11800 by default; its log says more"
)
FAILURES = {
    Outcome.RETRY: "UNAVAILABLE: gone",
    Outcome.DENIED: "UNAUTHENTICATED: who?",
    Outcome.REFUSED: "UNIMPLEMENTED: what?",
}


def _failures(*outcomes: Outcome) -> dict[Outcome, str]:
    """As if attempts had ended so, in this order."""
    return {outcome: FAILURES[outcome] for outcome in outcomes}


@pytest.mark.parametrize("lost", [{}, {"refused": 0, "shutdown": 0}, {"ring_full": 7, "pod_unknown": 3}])
def test_nothing_is_said_where_nothing_is_the_backends(lost: dict[str, int]) -> None:
    assert list(undelivered(lost, 0, FAILURES, BACKEND)) == []


@pytest.mark.parametrize("cause", ["shutdown", "queue_full", "spool_full"])
def test_no_room_or_no_time_is_explained_by_what_failed_last(cause: str) -> None:
    lost = {cause: 1}
    assert list(undelivered(lost, 0, _failures(Outcome.DENIED, Outcome.RETRY), BACKEND)) == [UNREACHED]
    assert list(undelivered(lost, 0, _failures(Outcome.RETRY, Outcome.DENIED), BACKEND)) == [DENIED]
    assert list(undelivered(lost, 0, _failures(Outcome.DENIED, Outcome.REFUSED), BACKEND)) == [REFUSED]


def test_what_waits_for_the_next_start_is_explained_as_well() -> None:
    assert list(undelivered({}, 5, _failures(Outcome.RETRY), BACKEND)) == [UNREACHED]


def test_each_reason_is_told_once() -> None:
    lost = {"refused": 1, "denied": 2, "shutdown": 3, "queue_full": 4}
    failures = _failures(Outcome.RETRY, Outcome.REFUSED, Outcome.DENIED)
    assert list(undelivered(lost, 6, failures, BACKEND)) == [REFUSED, DENIED]
    failures = _failures(Outcome.REFUSED, Outcome.DENIED, Outcome.RETRY)
    assert list(undelivered(lost, 0, failures, BACKEND)) == [REFUSED, DENIED, UNREACHED]


def test_errors_that_came_again_and_again_are_a_refusal() -> None:
    [line] = undelivered({"refused": 1}, 0, {Outcome.DOUBTFUL: "INTERNAL: broken"}, BACKEND)
    assert line.startswith("not delivered: the backend at store:11800 refused them (INTERNAL: broken): ")


def test_there_may_have_been_no_attempt_at_all() -> None:
    [line] = undelivered({"shutdown": 1}, 0, {}, BACKEND)
    assert line.startswith("not delivered: no backend took them at store:11800 in time (too late for an attempt): ")
