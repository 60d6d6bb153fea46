"""How two rows with the same key, or two sightings of the same entity, become one: the same in every store."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from backend.storage.interface import Endpoint, Instance, Relation, Service
from backend.storage.numbered import NAMED

KEY = (*NAMED, "minute")
"""What tells rows of metrics and of measures apart, but for who wrote them."""

MERGES: Mapping[str, pl.Expr] = {
    "summation": pl.col("summation").sum(),
    "count": pl.col("count").sum(),
    "total": pl.col("total").sum(),
    "least": pl.col("least").min(),
    "greatest": pl.col("greatest").max(),
}
"""By column, how its values become one."""


def merge_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each key, of columns of MetricSchema or MeasureSchema; in any order."""
    return rows.group_by(KEY).agg(MERGES[name] for name in rows.columns if name in MERGES).select(rows.columns)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a service, an instance or an endpoint; what does not concern it is empty."""

    id: str
    name: str
    first_minute: int
    last_minute: int
    service_id: str = ""
    layers: frozenset[str] = frozenset()
    normal: bool = False
    told: tuple[int, str] = (-1, "")
    """Of the latest sighting that had any properties: its minute, and these as text."""

    @classmethod
    def of(cls, entity: Service | Instance | Endpoint) -> "Seen":
        """One sighting."""
        seen = (entity.id, entity.name, entity.first_minute, entity.last_minute)
        if isinstance(entity, Service):
            return cls(*seen, layers=frozenset({entity.layer, *entity.more_layers}), normal=entity.normal)
        if isinstance(entity, Endpoint) or not entity.properties:
            return cls(*seen, entity.service_id)
        return cls(*seen, entity.service_id, told=(entity.last_minute, properties_text(entity.properties)))

    def merge(self, other: "Seen") -> "Seen":
        """What is known from both, in any order."""
        return Seen(
            self.id,
            self.name,
            min(self.first_minute, other.first_minute),
            max(self.last_minute, other.last_minute),
            self.service_id,
            self.layers | other.layers,
            self.normal or other.normal,
            max(self.told, other.told),
        )

    def service(self) -> Service:
        """As a service."""
        layer, *more = sorted(self.layers)
        return Service(self.id, self.name, layer, self.first_minute, self.last_minute, self.normal, tuple(more))

    def instance(self) -> Instance:
        """As an instance."""
        properties = properties_of(self.told[1])
        return Instance(self.id, self.service_id, self.name, self.first_minute, self.last_minute, properties)

    def endpoint(self) -> Endpoint:
        """As an endpoint."""
        return Endpoint(self.id, self.service_id, self.name, self.first_minute, self.last_minute)


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
