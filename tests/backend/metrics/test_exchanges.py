"""Exchanges that are told in slices."""

from hypothesis import given
from hypothesis import strategies as st

from backend.entities import ids
from backend.metrics.exchanges import LongExchanges
from tests.backend.metrics.exchanges import MILLISECOND, SECOND, Analysis, connection, exchange, messages, sums

API = ids.service_id("api")
SERVICE = "kubernetes_service_http_"


def test_a_long_exchange_is_one_call_of_its_whole_duration_and_all_its_bytes() -> None:
    analysis = Analysis()
    # Slices of a download, in streams of their own; nothing moved between 100 s and 150 s.
    first = analysis.take(
        messages(connection(), exchange(at=60, milliseconds=40_000, sizes=(50, 5, 70, 1_000), number=1, is_last=False))
    )
    second = analysis.take(
        messages(connection(), exchange(at=150, milliseconds=10_000, sizes=(0, 0, 0, 500), number=2, is_last=False))
    )
    last = analysis.take(messages(connection(), exchange(at=170, milliseconds=5_000, sizes=(0, 0, 0, 30), number=3)))
    assert sums(first)[f"{SERVICE}avg_resp_body_size", API] == (1_000, 0)
    assert sums(first)[f"{SERVICE}avg_req_header_size", API] == (50, 0)
    assert sums(second)[f"{SERVICE}avg_resp_body_size", API] == (500, 0)
    assert sums(last)[f"{SERVICE}avg_resp_body_size", API] == (30, 1)
    for unfinished in (first, second):
        assert not any(metric.endswith(("_cpm", "_time", "_rate", "apdex")) for metric, _ in sums(unfinished))
        assert not any("percentile" in metric for metric, _ in sums(unfinished))
        assert [endpoint.name for endpoint in unfinished.flush.endpoints] == ["GET:/"]
    found = sums(last)
    assert found[f"{SERVICE}call_cpm", API] == (1, 0)
    assert found[f"{SERVICE}call_time", API] == (115 * SECOND, 1)
    assert found[f"{SERVICE}call_successful_rate", API] == (1, 1)
    assert found["kubernetes_service_apdex", API] == (0, 1)
    assert ("kubernetes_service_percentile", API) in found
    assert first.untimed == second.untimed == last.untimed == 0


def test_a_call_whose_beginning_was_not_seen_counts_without_a_duration() -> None:
    logs = (exchange(milliseconds=20), exchange(milliseconds=1, number=4))
    analysed = Analysis().take(messages(connection(), *logs))
    found = sums(analysed)
    assert found[f"{SERVICE}call_cpm", API] == (2, 0)
    assert found[f"{SERVICE}call_time", API] == (20 * MILLISECOND, 1)
    # It took longer than a slice, which satisfies nobody.
    assert found["kubernetes_service_apdex", API] == (2, 2)
    assert analysed.untimed == 1


def test_an_exchange_of_one_slice_is_whole() -> None:
    found = sums(Analysis().take(messages(connection(), exchange(milliseconds=20, number=1))))
    assert found[f"{SERVICE}call_time", API] == (20 * MILLISECOND, 1)


def test_a_slice_that_is_sent_again_changes_nothing_but_its_sizes() -> None:
    analysis = Analysis()
    first = messages(connection(), exchange(at=60, milliseconds=1_000, number=1, is_last=False))
    second = messages(connection(), exchange(at=70, milliseconds=1_000, number=2, is_last=False))
    for each in (first, first, second, second):
        analysis.take(each)
    found = sums(analysis.take(messages(connection(), exchange(at=80, milliseconds=1_000, number=3))))
    assert found[f"{SERVICE}call_time", API] == (21 * SECOND, 1)


def test_exchanges_of_other_connections_paths_and_sides_are_others() -> None:
    analysis = Analysis()
    begun = exchange("/a", at=60, milliseconds=1_000, number=1, is_last=False)
    analysis.take(messages(connection(port=1), begun))
    end = exchange("/a", at=70, milliseconds=1_000, number=2)
    for other in (
        messages(connection(port=2), end),
        messages(connection("client", port=1), end),
        messages(connection(port=1), exchange("/b", at=70, milliseconds=1_000, number=2)),
        messages(connection(port=1), exchange("/a", at=70, milliseconds=1_000, number=3)),
    ):
        assert analysis.take(other).untimed == 1
    assert analysis.take(messages(connection(port=1), end)).untimed == 0


def test_two_of_the_same_are_told_apart_by_their_slices_then_by_order() -> None:
    found = LongExchanges()
    key = ("connection", "/events")
    assert found.follow(key, 1, 100, is_last=False) == 100
    assert found.follow(key, 2, 160, is_last=False) == 100
    assert found.follow(key, 1, 170, is_last=False) == 170
    # The younger one is at its second slice, the older at its third.
    assert found.follow(key, 2, 230, is_last=True) == 170
    assert found.follow(key, 1, 300, is_last=False) == 300
    assert found.follow(key, 2, 310, is_last=False) == 300
    assert found.follow(key, 3, 360, is_last=True) == 100
    assert found.follow(key, 3, 370, is_last=True) == 300
    assert found.follow(key, 3, 380, is_last=True) is None
    assert len(found) == 0


STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 99), st.booleans()), max_size=200)


@given(STEPS, STEPS, st.integers(1, 5))
def test_what_is_taken_back_is_as_if_it_had_not_been(
    kept: list[tuple[int, int, int, bool]], undone: list[tuple[int, int, int, bool]], maximum: int
) -> None:
    found, expected = LongExchanges(maximum), LongExchanges(maximum)
    for each, steps in ((found, kept), (expected, kept), (found, undone)):
        each.keep()
        for key, number, start, is_last in steps:
            each.follow((key,), number, start, is_last=is_last)
    found.take_back()
    assert dict(found._began) == dict(expected._began)
    assert len(found) == len(expected)
    found.take_back()
    assert dict(found._began) == dict(expected._began)


@given(STEPS, st.integers(1, 5))
def test_what_is_remembered_is_bounded(steps: list[tuple[int, int, int, bool]], maximum: int) -> None:
    found = LongExchanges(maximum)
    for key, number, start, is_last in steps:
        found.follow((key,), number, start, is_last=is_last)
        assert len(found) <= maximum
        assert len(found) == sum(map(len, found._began.values()))
