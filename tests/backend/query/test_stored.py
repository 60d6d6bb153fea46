"""Rows of metrics are asked for by their kind, each kind with one question."""

import polars as pl

from backend.entities.ids import service_id
from backend.oal.loader import load_texts
from backend.query.catalog import Catalog
from backend.query.stored import read_stored
from backend.storage.interface import Flush, MeasureSchema, MetricSchema, Precision
from tests.backend.query.counting import Counting

CATALOG = Catalog(
    load_texts(
        {
            "one.oal": """
greatest = from(K8SService.connect.duration).filter(type == "connect").max();
smallest = from(K8SService.connect.duration).filter(type == "connect").min();
mean = from(K8SService.connect.duration).filter(type == "connect").longAvg();
"""
        }
    ).definitions
)
API = service_id("api")
SPAN = (60, 119, Precision.HOUR)


def test_each_kind_of_row_is_asked_for_once_and_only_where_a_metric_has_it() -> None:
    storage = Counting()
    points = pl.DataFrame([("mean", "", API, 61, 7, 2)], schema=MetricSchema, orient="row")
    measures = pl.DataFrame(
        [(name, "", API, minute, 5.0, 2, 1.0, 4.0) for name in ("greatest", "smallest") for minute in (60, 119)],
        schema=MeasureSchema,
        orient="row",
    )
    storage.write(Flush("one", points, measures=measures))
    mean, greatest, smallest = map(CATALOG.metric, ("mean", "greatest", "smallest"))

    found = read_stored(storage, [greatest, mean, smallest], [API], SPAN)
    assert storage.questions == [
        (frozenset({"mean"}), (API,), *SPAN),
        (frozenset({"greatest", "smallest"}), (API,), *SPAN),
    ]
    assert found.points.rows() == [("mean", "", API, 60, 7, 2)]
    assert sorted(found.measures["metric"].unique()) == ["greatest", "smallest"]
    assert len(found) == len(found.points) + len(found.measures)

    for chosen, names in (([mean], {"mean"}), ([smallest], {"smallest"})):
        storage.questions.clear()
        alone = read_stored(storage, chosen, (), SPAN)
        assert storage.questions == [(frozenset(names), (), *SPAN)]
        assert (alone.points.columns, alone.measures.columns) == (list(MetricSchema), list(MeasureSchema))
    assert len(read_stored(storage, [], [API], SPAN)) == 0
