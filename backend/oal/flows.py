"""What metrics need of flows, as columns: one row per flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.entities.resolution import Flow
from backend.oal.apdex import ApdexThresholds
from backend.oal.attributes import COLUMN_TYPES, FlowAttribute
from backend.oal.sources import Source
from backend.storage.entity_ids import EntityIds

NO_ENTITY = -1
"""Instead of an entity's number: the flow counts for none."""


@dataclass(frozen=True, slots=True)
class DescribedFlows:
    """What is known of some flows."""

    columns: pl.DataFrame
    """One row per flow. An entity is a number, or NO_ENTITY."""
    entities: Mapping[str, EntityIds]
    """By column of entities: what its numbers stand for, among others."""


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
        return _column(source.name)

    def describer(self) -> "FlowDescriber":
        """What makes the columns that were named until now."""
        return FlowDescriber(self._sources, self._attributes, self._limits, self._thresholds)


class FlowDescriber:
    """Looks at each flow once, however often it has logs. For use from one thread.

    Args:
        sources: whose entities flows count for, by name.
        attributes: names of columns, by attribute.
        limits: names of columns of apdex thresholds, by the attribute that names services.
        thresholds: of services.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        attributes: Mapping[FlowAttribute, str],
        limits: Mapping[FlowAttribute, str],
        thresholds: ApdexThresholds,
    ) -> None:
        self._sources = dict(sources)
        self._attributes = dict(attributes)
        self._limits = dict(limits)
        self._thresholds = thresholds
        self._ids = {name: EntityIds() for name in sources}
        self._entities = {_column(name): ids for name, ids in self._ids.items()}
        self._columns = self._describe([])
        self._count = 0

    def take(self, flows: Sequence[Flow]) -> None:
        """Take more flows; their numbers follow those of the flows before."""
        self._count += len(flows)
        if flows:
            self._columns = pl.concat([self._columns, self._describe(flows)], rechunk=True)

    def __len__(self) -> int:
        return self._count

    def describe(self, numbers: NDArray[np.int64]) -> DescribedFlows:
        """The flows of these numbers, each once, in the order of numbers."""
        is_all = len(numbers) == self._count or not self._sources
        return DescribedFlows(self._columns if is_all else self._columns[numbers], self._entities)

    def _describe(self, flows: Sequence[Flow]) -> pl.DataFrame:
        """Some flows, one row each."""
        columns = dict[str, pl.Series]()
        for name, source in self._sources.items():
            number = self._ids[name].number
            entities = map(source.entity, flows)
            codes = [NO_ENTITY if entity is None else number(entity) for entity in entities]
            columns[_column(name)] = pl.Series(codes, dtype=pl.Int32)
        for attribute, name in self._attributes.items():
            columns[name] = pl.Series([attribute.of(flow) for flow in flows], dtype=COLUMN_TYPES[attribute.kind])
        for attribute, name in self._limits.items():
            of = self._thresholds.of
            columns[name] = pl.Series([of(str(attribute.of(flow))) for flow in flows], dtype=pl.Int64)
        return pl.DataFrame(columns)


def _column(source: str) -> str:
    return f"entity of {source}"
