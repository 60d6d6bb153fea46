"""What flushes write into a DuckDB file."""

from collections.abc import Sequence

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.duckdb_names import Names, number_of
from backend.storage.duckdb_rows import RowTables
from backend.storage.duckdb_statements import Statement
from backend.storage.interface import BATCHES_REMEMBERED, Flush
from backend.storage.merging import properties_text
from backend.storage.numbered import NAMED

BATCHES_FORGOTTEN = 4_096
"""Batches are forgotten so many at a time: each deletion looks at all of them."""


def write_rows(
    cursor: duckdb.DuckDBPyConnection, tables: RowTables, rows: pl.DataFrame, writer: int, names: Names, *, again: bool
) -> None:
    """Write rows of metrics or of measures; `again` when the writer has written before."""
    staged: dict[str, NDArray[np.generic]] = {"writer": np.full(len(rows), writer, np.int32)}
    for name in ("metric", "label"):
        texts, codes = _factorize(rows[name])
        staged[name] = names.number(cursor, texts)[codes]
    # Most rows are of another entity than the others.
    staged["entity"] = names.number(cursor, rows["entity"].to_list())
    for name in rows.columns:
        if name not in NAMED:
            staged[name] = rows[name].to_numpy()
    cursor.register("staged", staged)
    if again:
        cursor.execute(tables.replace(), {"writer": writer})
        cursor.execute(tables.insert_again(), {"writer": writer})
    else:
        cursor.execute(tables.insert())
    cursor.unregister("staged")


def write_relations(cursor: duckdb.DuckDBPyConnection, flush: Flush, names: Names) -> None:
    """Write the relations that are not there yet."""
    kinds = (flush.service_relations, flush.instance_relations, flush.endpoint_relations)
    relations = [relation for of_kind in kinds for relation in of_kind]
    if not relations:
        return
    columns = [[getattr(relation, name) for relation in relations] for name in ("id", "source_id", "destination_id")]
    texts, codes = _factorize(pl.Series([*columns[0], *columns[1], *columns[2]], dtype=pl.String))
    relation, source, destination = np.split(names.number(cursor, texts)[codes], 3)
    minute = np.array([relation.minute for relation in relations], np.int32)
    cursor.register(
        "staged",
        {
            "minute": minute,
            "kind": np.repeat(np.arange(len(kinds), dtype=np.int32), [len(of_kind) for of_kind in kinds]),
            "relation": relation,
            "source": source,
            "destination": destination,
            "server": np.array([relation.side == "server" for relation in relations]),
            "component": np.array([relation.component for relation in relations], np.int32),
        },
    )
    cursor.execute(Statement.INSERT_RELATIONS, {"first": int(minute.min()), "last": int(minute.max())})
    cursor.unregister("staged")


def write_entities(cursor: duckdb.DuckDBPyConnection, flush: Flush) -> None:
    """Write what is new of services, instances and endpoints."""
    seen = ("id", "name", "first_minute", "last_minute")
    services: dict[str, list[str | int]] = {
        **{name: [getattr(service, name) for service in flush.services] for name in (*seen, "normal")},
        "layers": ["\n".join(sorted({service.layer, *service.more_layers})) for service in flush.services],
    }
    instances: dict[str, list[str | int]] = {
        **{name: [getattr(instance, name) for instance in flush.instances] for name in (*seen, "service_id")},
        "properties": [properties_text(instance.properties) for instance in flush.instances],
        "properties_minute": [instance.last_minute if instance.properties else -1 for instance in flush.instances],
    }
    endpoints: dict[str, list[str | int]] = {
        name: [getattr(endpoint, name) for endpoint in flush.endpoints] for name in (*seen, "service_id")
    }
    for statement, columns in (
        (Statement.SEE_SERVICES, services),
        (Statement.SEE_INSTANCES, instances),
        (Statement.SEE_ENDPOINTS, endpoints),
    ):
        if columns["id"]:
            cursor.register("staged", {name: _column(values) for name, values in columns.items()})
            cursor.execute(statement)
            cursor.unregister("staged")


def write_batches(cursor: duckdb.DuckDBPyConnection, flush: Flush, *, again: bool) -> None:
    """Remember the batches of a flush, and forget the oldest; `again` when the writer has written before."""
    if again:
        cursor.execute(Statement.TAKE_BATCHES_BACK, {"writer": flush.writer})
    if not flush.batches:
        return
    first = (number_of(cursor, Statement.LAST_BATCH) or 0) + 1
    given = {"first": first, "ids": list(flush.batches), "writer": flush.writer}
    cursor.execute(Statement.INSERT_BATCHES, given)
    following = first + len(flush.batches)
    if first // BATCHES_FORGOTTEN != following // BATCHES_FORGOTTEN:
        cursor.execute(Statement.FORGET_BATCHES, {"oldest": following - BATCHES_REMEMBERED})


def _column(values: Sequence[str | int]) -> NDArray[np.generic]:
    kind = type(values[0])
    return np.array(values, object if kind is str else np.bool_ if kind is bool else np.int32)


def _factorize(series: pl.Series) -> tuple[list[str], NDArray[np.uint32]]:
    """The distinct texts of a column, and per row the index of its text."""
    texts = series.unique(maintain_order=True)
    return texts.to_list(), series.cast(pl.Enum(texts)).to_physical().cast(pl.UInt32).to_numpy()


def writer_of(cursor: duckdb.DuckDBPyConnection, flush: Flush) -> tuple[int, bool]:
    """The number of a flush's writer, and whether it has written before."""
    known = number_of(cursor, Statement.FIND_WRITER, text=flush.writer)
    if known is not None:
        return known, True
    number = (number_of(cursor, Statement.LAST_WRITER) or 0) + 1
    minutes = [flush.metrics["minute"], flush.measures["minute"], *(block.sums["minute"] for block in flush.blocks)]
    last_minute = pl.concat(minutes).max() or 0
    cursor.execute(Statement.INSERT_WRITER, {"id": number, "text": flush.writer, "minute": last_minute})
    return number, False
