import random

from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.exchange import Flow
from tests.agent.protocols.http1_playing import Play
from tests.fuzz import http1
from tests.fuzz.mutations import run


def test_damaged_connections() -> None:
    run(http1.target, seed=1, rounds=1_500)


@given(
    st.lists(st.tuples(st.sampled_from(Flow), st.one_of(st.binary(min_size=1, max_size=50), st.integers(1, 99)))),
    st.booleans(),
)
def test_random_bytes(calls: list[tuple[Flow, bytes | int]], joined: bool) -> None:  # noqa: FBT001 - given by position
    play = Play(joined=joined, limits=http1.LIMITS)
    for flow, call in calls:
        (play.ask if flow is Flow.REQUESTS else play.answer)(call)
        http1.check_kept(play.parser)
    play.end()
    assert not play.parser.is_busy


def test_what_is_kept_of_endless_heads_and_requests_is_bounded() -> None:
    source = random.Random(1)
    play = Play(limits=http1.LIMITS)
    for _ in range(2_000):
        play.ask(source.choice([b"GET /a HTTP/1.1\r\n", b"A: b\r\n", b"\r\n", b"x" * 200]))
        http1.check_kept(play.parser)
    assert play.losses
