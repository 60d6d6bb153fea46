"""How two things that were written of the same entity, or of the same key, become one: the same in every store."""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from backend.storage.interface import Instance, Relation, Service

KEY = ("metric", "label", "entity", "minute")
"""What tells rows of metrics and of measures apart, but for who wrote them."""

MERGES: Mapping[str, pl.Expr] = {
    "summation": pl.col("summation").sum(),
    "count": pl.col("count").sum(),
    "total": pl.col("total").sum(),
    "least": pl.col("least").min(),
    "greatest": pl.col("greatest").max(),
}
"""By column, how its values become one."""


def merge_rows(rows: pl.DataFrame, keys: Sequence[str] = KEY) -> pl.DataFrame:
    """One row for each key, of columns of MetricSchema or MeasureSchema and of further keys; in any order."""
    return rows.group_by(keys).agg(MERGES[name] for name in rows.columns if name in MERGES).select(rows.columns)


def merge_services(one: Service, other: Service) -> Service:
    """A service with the layers and the minutes of both."""
    layer, *more = sorted({one.layer, *one.more_layers, other.layer, *other.more_layers})
    return Service(
        one.id,
        one.name,
        layer,
        min(one.first_minute, other.first_minute),
        max(one.last_minute, other.last_minute),
        one.normal or other.normal,
        tuple(more),
    )


def properties_text(properties: Mapping[str, str]) -> str:
    """The same text for the same properties; an empty one for none."""
    return json.dumps(dict(properties), sort_keys=True, ensure_ascii=False) if properties else ""


def properties_of(text: str) -> dict[str, str]:
    """What properties_text() was given."""
    found: dict[str, str] = json.loads(text) if text else {}
    return found


def latest_relations(relations: Sequence[Relation]) -> list[Relation]:
    """Each (id, side, component) once, with its latest minute, in this order."""
    latest: dict[tuple[str, str, int], Relation] = {}
    for relation in sorted(relations, key=lambda relation: relation.minute):
        latest[relation.id, relation.side, relation.component] = relation
    return [latest[key] for key in sorted(latest)]


def age_of_properties(instance: Instance) -> tuple[int, str]:
    """Of two instances, the one of which this is greater says what the properties are."""
    return (instance.last_minute if instance.properties else -1, properties_text(instance.properties))
