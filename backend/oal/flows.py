"""What metrics need of flows, as columns: one row per flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from backend.entities.resolution import Flow
from backend.oal.apdex import ApdexThresholds
from backend.oal.attributes import COLUMN_TYPES, FlowAttribute
from backend.oal.sources import Source

NO_ENTITY = -1
"""Instead of an entity's number: the flow counts for none."""


@dataclass(frozen=True, slots=True)
class DescribedFlows:
    """What is known of some flows."""

    columns: pl.DataFrame
    """One row per flow. An entity is a number, or NO_ENTITY."""
    entities: Mapping[str, pl.Series]
    """By column of entities: the ids that its numbers stand for."""


class FlowColumns:
    """Names of columns, each for one attribute, threshold or entity."""

    def __init__(self, thresholds: ApdexThresholds) -> None:
        self._thresholds = thresholds
        self._attributes: dict[FlowAttribute, str] = {}
        self._limits: dict[FlowAttribute, str] = {}
        self._sources: dict[str, Source] = {}

    def attribute(self, attribute: FlowAttribute) -> str:
        """The column of an attribute."""
        return self._attributes.setdefault(attribute, f"attribute {len(self._attributes)}")

    def limit(self, name: FlowAttribute) -> str | int:
        """The column of apdex thresholds for the services that an attribute names, or the one threshold of all."""
        if not self._thresholds.services:
            return self._thresholds.default
        return self._limits.setdefault(name, f"limit {len(self._limits)}")

    def entity(self, source: Source) -> str:
        """The column of entity ids of a source."""
        self._sources[source.name] = source
        return f"entity of {source.name}"

    def describe(self, flows: Sequence[Flow]) -> DescribedFlows:
        """The columns that were named."""
        columns, entities = dict[str, pl.Series](), dict[str, pl.Series]()
        for name, source in self._sources.items():
            column = f"entity of {name}"
            columns[column], entities[column] = _numbered([source.entity(flow) for flow in flows])
        for attribute, name in self._attributes.items():
            columns[name] = pl.Series([attribute.of(flow) for flow in flows], dtype=COLUMN_TYPES[attribute.kind])
        for attribute, name in self._limits.items():
            of = self._thresholds.of
            columns[name] = pl.Series([of(str(attribute.of(flow))) for flow in flows], dtype=pl.Int64)
        return DescribedFlows(pl.DataFrame(columns), entities)


def _numbered(ids: Sequence[str | None]) -> tuple[pl.Series, pl.Series]:
    """Numbers that stand for ids, and what they stand for, each once."""
    numbers: dict[str | None, int] = {None: NO_ENTITY}
    codes = [numbers.setdefault(text, len(numbers) - 1) for text in ids]
    return pl.Series(codes, dtype=pl.Int32), pl.Series(list(numbers)[1:], dtype=pl.String)
