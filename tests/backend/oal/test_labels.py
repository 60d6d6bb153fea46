import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from backend.oal.labels import MINUTES_OF_A_DAY, LabelLoss, Labels


def rows(*given_rows: tuple[str, str, int, int]) -> pl.DataFrame:
    """Label, entity, minute, summation."""
    schema = {"label": pl.String, "entity": pl.String, "minute": pl.Int32, "summation": pl.Int64}
    return pl.DataFrame(list(given_rows), schema=schema, orient="row")


def admitted(labels: Labels, given_rows: pl.DataFrame, maximum: int, metric: str = "m") -> list[tuple[str, str]]:
    found = labels.admit(metric, given_rows, maximum)
    assert found.schema == given_rows.schema
    return sorted(found.select("entity", "label").rows())


def test_the_first_labels_stay_and_of_new_ones_the_more_frequent_are_taken() -> None:
    labels = Labels()
    assert admitted(labels, rows(("a", "e", 1, 1), ("b", "e", 1, 9), ("c", "e", 1, 5)), 2) == [("e", "b"), ("e", "c")]
    assert labels.refused == {LabelLoss.MAXIMUM: 1}
    assert admitted(labels, rows(("a", "e", 2, 99), ("b", "e", 2, 1)), 2) == [("e", "b")]
    assert labels.refused == {LabelLoss.MAXIMUM: 2}


def test_metrics_entities_and_days_are_limited_apart() -> None:
    labels = Labels()
    tomorrow = MINUTES_OF_A_DAY
    assert admitted(labels, rows(("a", "e", 1, 1), ("b", "f", 1, 1)), 1) == [("e", "a"), ("f", "b")]
    assert admitted(labels, rows(("b", "e", 1, 1)), 1, "n") == [("e", "b")]
    assert admitted(labels, rows(("b", "e", 1, 1), ("b", "e", tomorrow, 1)), 1) == [("e", "b")]
    assert labels.refused == {LabelLoss.MAXIMUM: 1}


def test_what_is_remembered_is_bounded_and_older_days_are_forgotten_first() -> None:
    labels = Labels(maximum_kept=3)
    assert admitted(labels, rows(("a", "e", 1, 1), ("b", "e", 1, 1)), 9) == [("e", "a"), ("e", "b")]
    today = MINUTES_OF_A_DAY
    assert len(admitted(labels, rows(*((name, "e", today, 1) for name in "abc")), 9)) == 3
    assert len(labels) == 3
    assert labels.refused == {}
    # No older day is left: new labels are refused, those of older days too, and those that are known count on.
    assert admitted(labels, rows(("a", "e", today, 1), ("d", "e", today, 1), ("a", "e", 1, 1)), 9) == [("e", "a")]
    assert labels.refused == {LabelLoss.MEMORY: 2}
    assert len(labels) == 3


def test_nothing_is_nothing() -> None:
    labels = Labels()
    assert admitted(labels, rows(), 1) == []
    assert len(labels) == 0


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.sampled_from("ef"), st.integers(1_438, 1_442), st.integers(1, 5)),
            max_size=9,
        ),
        max_size=5,
    ),
    st.integers(1, 3),
)
def test_no_entity_has_more_labels_in_a_day_and_every_row_is_taken_or_counted(
    flushes: list[list[tuple[str, str, int, int]]], maximum: int
) -> None:
    labels = Labels()
    seen: dict[tuple[str, int], set[str]] = {}
    taken = 0
    for flush in flushes:
        found = labels.admit("m", rows(*flush), maximum)
        taken += len(found)
        for label, entity, minute, _ in found.iter_rows():
            seen.setdefault((entity, minute // MINUTES_OF_A_DAY), set()).add(label)
    assert all(len(known) <= maximum for known in seen.values())
    assert taken + labels.refused.get(LabelLoss.MAXIMUM, 0) == sum(map(len, flushes))
