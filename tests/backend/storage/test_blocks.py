import polars as pl

from backend.storage.blocks import NO_COUNT, Block, Place
from backend.storage.entity_ids import EntityIds
from backend.storage.interface import Flush, MetricSchema

SCHEMA = {"entity": pl.Int32, "minute": pl.Int32, "s": pl.Int64, "t": pl.Int64, "logs": pl.Int64}
PLACES = (Place("total", 0, NO_COUNT, 2), Place("mean", 1, 2, 2), Place("rare", 0, 2, 1))
SUMS = pl.DataFrame([(1, 7, 10, 0, 2), (0, 7, -5, 4, 1), (1, 8, 3, 9, 0)], SCHEMA, orient="row")
ROWS = [
    ("total", "", "b", 7, 10, 0),
    ("total", "", "a", 7, -5, 0),
    ("mean", "", "b", 7, 0, 2),
    ("mean", "", "a", 7, 4, 1),
    ("rare", "", "a", 7, -5, 1),
    ("rare", "", "b", 8, 3, 0),
]


def test_a_block_has_a_row_for_each_metric_and_entity_that_has_logs() -> None:
    rows = Block(PLACES, EntityIds(["a", "b", "nobody"]), SUMS).rows()
    assert rows.schema == MetricSchema
    assert rows.rows() == ROWS


def test_the_labels_of_a_block_are_its_numbers_as_text() -> None:
    labelled = SUMS.with_columns(pl.Series("label", [5, -10, 1567], pl.Int64))
    block = Block(PLACES, EntityIds(["a", "b", "nobody"]), labelled)
    assert (block.is_labelled, block.columns) == (True, ["s", "t", "logs"])
    labels = ["5", "-10", "5", "-10", "-10", "1567"]
    # "rare" has no value in the first row.
    assert block.rows().schema == MetricSchema
    assert block.rows().rows() == [(row[0], label, *row[2:]) for row, label in zip(ROWS, labels, strict=True)]


def test_a_block_without_rows_or_metrics_has_none() -> None:
    for block in (Block(PLACES, EntityIds(["a"]), SUMS.clear()), Block((), EntityIds(["a", "b"]), SUMS)):
        assert block.rows().schema == MetricSchema
        assert block.rows().is_empty()


def test_the_rows_of_a_flush_are_its_own_and_those_of_its_blocks() -> None:
    own = pl.DataFrame([("p", "3", "a", 7, 1, 0)], MetricSchema, orient="row")
    block = Block(PLACES, EntityIds(["a", "b"]), SUMS)
    assert Flush("w", own, blocks=[block, block]).rows.rows() == [("p", "3", "a", 7, 1, 0), *ROWS, *ROWS]
