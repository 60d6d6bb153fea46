from hypothesis import given
from hypothesis import strategies as st

from common.kubernetes.patience import Backoff


def test_waits_grow_to_a_bound_and_begin_again_after_a_success() -> None:
    backoff = Backoff(1.0, 30.0, lambda: 0.5)
    assert [backoff.wait() for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    backoff.succeeded()
    assert backoff.wait() == 0.5


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 10_000), st.none() | st.floats(0, 1e9))
def test_no_wait_is_longer_than_the_bound_or_shorter_than_asked_within_it(
    random: float, failures: int, asked: float | None
) -> None:
    wait = Backoff(1.0, 30.0, lambda: random, failures).wait(asked)
    assert min(asked or 0.0, 30.0) <= wait <= 30.0
