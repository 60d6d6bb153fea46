import polars as pl
import pytest

from backend.metrics.reading import LABEL_NAMES, ReadingSchema, rules_of, value_of
from backend.metrics.windows import Compatibility, Rule, Step
from backend.oal.functions import LABELLED, Function
from backend.oal.loader import load_texts
from backend.storage.interface import MeasureSchema, MetricSchema


def points(*rows: tuple[str, str, int, int, int]) -> pl.DataFrame:
    """Metric, label, minute, summation and count, all of one entity."""
    full = [(metric, label, "e", minute, summation, count) for metric, label, minute, summation, count in rows]
    return pl.DataFrame(full, schema=MetricSchema, orient="row")


def measures(*rows: tuple[str, int, float, float]) -> pl.DataFrame:
    """Metric, minute, least and greatest."""
    full = [(metric, "", "e", minute, 0.0, 1, least, greatest) for metric, minute, least, greatest in rows]
    return pl.DataFrame(full, schema=MeasureSchema, orient="row")


def read(
    rule: Rule,
    *rows: tuple[str, int, int, int],
    step: Step = Step.MINUTE,
    compatibility: Compatibility | None = None,
) -> dict[tuple[str, int], tuple[float, int | None]]:
    """Value and whole value by label and minute, of rows of label, minute, summation and count."""
    found = value_of(
        {"m": rule}, points(*(("m", *row) for row in rows)), step=step, compatibility=compatibility or Compatibility()
    )
    assert found.schema == ReadingSchema
    assert found["metric"].unique().to_list() in ([], ["m"])
    return {(label, minute): (value, whole) for _, label, _, minute, value, whole in found.iter_rows()}


def test_means_with_fractions_have_no_whole_value() -> None:
    rule = Rule(Function.DOUBLE_AVG, unit=1_000)
    assert read(rule, ("", 1, 1_900, 2), ("", 61, 50, 0)) == {("", 1): (0.95, None)}
    assert read(rule, ("", 1, 1_900, 2), ("", 59, 100, 2), step=Step.HOUR) == {("", 0): (0.5, None)}


def test_sums_of_more_than_a_float_holds_stay_exact() -> None:
    large = 2**60 + 1
    assert read(Rule(Function.SUM), ("", 1, large, 0)) == {("", 1): (float(large), large)}


def test_a_rate_to_nothing_is_no_value_unless_upstream_is_asked_for() -> None:
    rule = Rule(Function.RATE)
    rows = [("", 1, 3, 4), ("", 2, 3, 0)]
    assert read(rule, *rows) == {("", 1): (7_500, 7_500)}
    as_upstream = Compatibility(empty_rates_are_zero=True)
    assert read(rule, *rows, compatibility=as_upstream) == {("", 1): (7_500, 7_500), ("", 2): (0, 0)}
    assert read(rule, *rows, step=Step.HOUR) == {("", 0): (15_000, 15_000)}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Function.MAX, (9, 9)),
        (Function.MIN, (-1, -1)),
        (Function.MAX_DOUBLE, (9.5, None)),
        (Function.MIN_DOUBLE, (-1.25, None)),
    ],
)
def test_extremes_are_those_of_all_rows(function: Function, expected: tuple[float, int | None]) -> None:
    rows = measures(("m", 1, -1_250.0, 3_000.0), ("m", 2, 10.0, 9_500.0), ("other", 1, -9e9, 9e9))
    found = value_of({"m": Rule(function, unit=1_000)}, measures=rows, step=Step.HOUR)
    assert found.select("minute", "value", "whole").rows() == [(0, *expected)]
    by_minute = value_of({"m": Rule(function, unit=1_000)}, measures=rows)
    assert by_minute["minute"].to_list() == [1, 2]


def test_a_histogram_has_all_its_steps_wherever_it_has_one() -> None:
    rule = Rule(Function.HISTOGRAM, step=10, steps=2)
    assert read(rule, ("10", 1, 5, 0), ("20", 2, 1, 0), ("10", 2, 1, 0), step=Step.HOUR) == {
        ("0", 0): (0, 0),
        ("10", 0): (6, 6),
        ("20", 0): (1, 1),
    }
    assert read(rule) == {}


def test_labels_are_read_apart() -> None:
    rows = [("a", 1, 5, 2), ("a", 2, 5, 2), ("b", 1, 1, 3), ("c", 1, 0, 3), ("d", 1, 7, 0)]
    assert read(Rule(Function.LABEL_COUNT), *rows, step=Step.DAY) == {
        ("a", 0): (10, 10),
        ("b", 0): (1, 1),
        ("c", 0): (0, 0),
        ("d", 0): (7, 7),
    }
    # What is between 0 and 1 is 1, as upstream has it; a mean of nothing is no value.
    assert read(Rule(Function.LABEL_AVG), *rows, step=Step.DAY) == {
        ("a", 0): (2, 2),
        ("b", 0): (1, 1),
        ("c", 0): (0, 0),
    }


def test_percentiles_have_their_rank_or_its_place_as_label() -> None:
    rows = [("7", 1, 98, 0), ("60", 1, 2, 0)]
    assert [*read(Rule(Function.PERCENTILE), *rows).items()] == [
        ((label, 1), (value, value))
        for label, value in zip(("50", "75", "90", "95", "99"), (7, 7, 7, 7, 60), strict=True)
    ]
    assert {label for label, _ in read(Rule(Function.INDEXED_PERCENTILE), *rows)} == {"0", "1", "2", "3", "4"}
    assert read(Rule(Function.INDEXED_PERCENTILE), *rows)["4", 1] == (60, 60)


@pytest.mark.parametrize("others", [{}, {"l": Rule(Function.SUM)}])
def test_readings_are_in_order_of_metric_label_entity_and_minute(others: dict[str, Rule]) -> None:
    ranked = {"n": Rule(Function.INDEXED_PERCENTILE), "m": Rule(Function.PERCENTILE), "k": Rule(Function.PERCENTILE)}
    rows = [
        (metric, bucket, entity, minute, 1, 0)
        for minute in (2, 1)
        for entity in ("f", "e")
        for metric in ("n", "m", "k", "l")
        for bucket in ("60", "7")
    ]
    found = value_of(ranked | others, pl.DataFrame(rows, schema=MetricSchema, orient="row"))
    keys = found.select("metric", "label", "entity", "minute").rows()
    assert found.schema == ReadingSchema
    assert len(keys) == 3 * 5 * 4 + len(others) * 2 * 4
    assert keys == sorted(keys)


def test_rules_are_those_of_definitions() -> None:
    definitions = load_texts(
        {
            "x": """
                a = from(K8SService.protocol.http.latency).longAvg();
                b = from(K8SService.protocol.http.latency).histogram(100, 20);
                c = from(K8SService.*).labelAvg(name, protocol.http.latency);
                d = from(K8SService.protocol.http.latency).maxDouble();
                e = from(K8SService.protocol.http.latency).percentile2(10);
            """
        }
    ).definitions
    assert rules_of(definitions) == {
        "a": Rule(Function.LONG_AVG, 1_000_000),
        "b": Rule(Function.HISTOGRAM, 1, 100, 20),
        "c": Rule(Function.LABEL_AVG, 1_000_000),
        "d": Rule(Function.MAX_DOUBLE, 1_000_000),
        "e": Rule(Function.PERCENTILE),
    }


def test_every_labelled_function_names_its_labels() -> None:
    assert LABEL_NAMES.keys() == LABELLED


def test_nothing_gives_nothing() -> None:
    assert value_of({}).schema == ReadingSchema
    assert value_of({f"m{function}": Rule(function) for function in Function}, points(), measures()).is_empty()
    assert value_of({}, points(("m", "", 1, 1, 1)), measures(("m", 1, 1.0, 1.0))).is_empty()
