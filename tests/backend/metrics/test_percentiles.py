import math

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from backend.metrics.percentiles import RANKS, PercentileSchema, percentiles
from backend.metrics.windows import Step
from backend.storage.interface import MetricSchema


def points(*rows: tuple[str, str, str, int, int]) -> pl.DataFrame:
    """Metric, bucket, entity, minute, calls."""
    return pl.DataFrame([(*row, 0) for row in rows], schema=MetricSchema, orient="row")


def latency(value: int, calls: int = 1, minute: int = 7, metric: str = "m") -> tuple[str, str, str, int, int]:
    """A row of calls of some milliseconds, each below 64 with a bucket of its own."""
    return metric, str(value), "e", minute, calls


def values(*rows: tuple[str, str, str, int, int], step: Step = Step.MINUTE) -> list[int]:
    return percentiles(points(*rows), ["m"], step)["value"].to_list()


def test_a_hundred_calls_of_1_to_50_ms() -> None:
    assert values(*(latency(value, calls=2) for value in range(1, 51))) == [25, 38, 45, 48, 50]


def test_one_call_is_every_percentile() -> None:
    assert values(latency(9)) == [9] * 5
    assert values(latency(0)) == [0] * 5


def test_slow_calls_are_seen_at_their_rank_alone() -> None:
    assert values(latency(1, calls=98), latency(60, calls=2)) == [1, 1, 1, 1, 60]
    assert values(latency(1, calls=99), latency(60)) == [1, 1, 1, 1, 1]


def test_minutes_are_added_up_before_the_rank_is_found() -> None:
    rows = [latency(1, calls=10, minute=0), latency(50, calls=1, minute=1), latency(3, minute=60)]
    found = percentiles(points(*rows), ["m"], Step.HOUR)
    assert found.schema == PercentileSchema
    assert found.rows() == [
        *(("m", "e", 0, rank, value) for rank, value in zip(RANKS, [1, 1, 1, 50, 50], strict=True)),
        *(("m", "e", 60, rank, 3) for rank in RANKS),
    ]


def test_metrics_and_entities_are_kept_apart_and_others_left_out() -> None:
    found = percentiles(
        points(latency(5), latency(6, metric="n"), latency(7, metric="o"), ("m", "", "e", 7, 1), ("m", "5", "f", 7, 3)),
        ["n", "m"],
    )
    assert found.filter(pl.col("rank") == 50).select("metric", "entity", "value").rows() == [
        ("m", "e", 5),
        ("m", "f", 5),
        ("n", "e", 6),
    ]


def test_nothing_gives_nothing() -> None:
    assert percentiles(points(), ["m"]).schema == PercentileSchema
    assert percentiles(points(), []).is_empty()
    assert values(latency(5, calls=0)) == []


@given(st.lists(st.integers(0, 63), min_size=1, max_size=200))
def test_percentiles_are_those_of_the_sorted_calls(calls: list[int]) -> None:
    ordered = sorted(calls)
    expected = [ordered[math.ceil(len(calls) * rank / 100) - 1] for rank in RANKS]
    assert values(*map(latency, calls)) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["m", "n", "other"]),
            st.sampled_from(["0", "7", "07", "60", "", "9999999"]),
            st.sampled_from([3, 10, 11]),
            st.integers(118, 123),
            st.integers(-1, 3),
        ),
        max_size=40,
    ),
    st.sampled_from([Step.MINUTE, Step.HOUR]),
    st.sampled_from([pl.String, pl.Int64]),
)
def test_each_metric_entity_and_step_has_its_own(
    rows: list[tuple[str, str, int, int, int]], step: Step, kind: type[pl.DataType]
) -> None:
    frame = points(*((metric, bucket, str(entity), at, count) for metric, bucket, entity, at, count in rows))
    frame = frame.with_columns(pl.col("entity").cast(kind))
    # Calls of each bucket are added up first; what is then no call at all is left out.
    calls: dict[tuple[str, int | str, int], dict[int, int]] = {}
    for metric, bucket, entity, minute, number in rows:
        if metric != "other" and bucket in {"0", "7", "60"}:
            own = calls.setdefault((metric, entity if kind is pl.Int64 else str(entity), minute - minute % step), {})
            own[int(bucket)] = own.get(int(bucket), 0) + number
    expected = []
    for key, by_bucket in sorted(calls.items()):
        ordered = [bucket for bucket, number in sorted(by_bucket.items()) for _ in range(number)]
        expected += [(*key, rank, ordered[math.ceil(len(ordered) * rank / 100) - 1]) for rank in RANKS if ordered]
    assert percentiles(frame, ["n", "m"], step).rows() == expected
