import itertools

import pytest

from agent.connections.state import ViewInput, ViewState, transition

S, H = ViewState, ViewInput


@pytest.mark.parametrize(
    ("life", "end", "closes"),
    [
        ([H.OPENED, H.TRANSFERRED, H.RELEASED], S.ENDED, 1),
        ([H.TRANSFERRED, H.RELEASED], S.ENDED, 1),
        ([H.OPENED, H.CLOSED_ONE, H.RELEASED], S.ENDED, 2),
        ([H.OPENED, H.CLOSED_KNOWN, H.RELEASED], S.ENDED, 2),
        ([H.OPENED, H.CLOSED_KNOWN, H.VANISHED], S.ENDED, 1),
        ([H.OPENED, H.CLOSED_KNOWN, H.FOUND, H.RELEASED], S.ENDED, 2),
        ([H.OPENED, H.CLOSED_KNOWN, H.TRANSFERRED], S.OPEN, 1),
        ([H.OPENED, H.CLOSED_KNOWN, H.PROCESS_EXITED], S.ENDED, 1),
        ([H.OPENED, H.PROCESS_EXITED], S.ENDED, 1),
        ([H.OPENED, H.CONNECT_FAILED, H.RELEASED], S.ENDED, 1),
        ([H.CONNECT_FAILED, H.RELEASED], S.ENDED, 0),
        ([H.CONNECT_FAILED, H.PROCESS_EXITED], S.ENDED, 0),
        ([H.CONNECT_FAILED, H.FOUND], S.FAILED, 0),
        ([H.CONNECT_FAILED, H.CONNECT_FAILED, H.OPENED, H.RELEASED], S.ENDED, 1),
        ([H.OPENED, H.RELEASED, H.TRANSFERRED, H.RELEASED, H.PROCESS_EXITED], S.ENDED, 1),
    ],
)
def test_lives(life: list[ViewInput], end: ViewState, closes: int) -> None:
    state, reported = S.NEW, 0
    for happened in life:
        state, report = transition(state, happened)
        reported += report
    assert (state, reported) == (end, closes)


def test_every_pair_has_an_answer_and_only_an_open_connection_is_reported_as_closed() -> None:
    for state, happened in itertools.product(S, H):
        after, reported = transition(state, happened)
        assert after is not S.NEW or state is S.NEW
        if reported:
            assert state in {S.OPEN, S.CLOSING}
        if state is S.ENDED:
            assert (after, reported) == (S.ENDED, False)
        if happened is H.VANISHED:
            assert after is S.ENDED
