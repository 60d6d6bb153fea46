"""What metrics need of flows, as columns: one row per flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
        self._numbers: dict[str, dict[str, int]] = {name: {} for name in sources}
        self._described = self._describe([])
        self._count = 0

    def take(self, flows: Sequence[Flow]) -> None:
        """Take more flows; their numbers follow those of the flows before."""
        self._count += len(flows)
        if flows:
            more, before = self._describe(flows), self._described
            entities = {name: pl.concat([before.entities[name], more.entities[name]]) for name in before.entities}
            self._described = DescribedFlows(pl.concat([before.columns, more.columns], rechunk=True), entities)

    def __len__(self) -> int:
        return self._count

    def describe(self, numbers: NDArray[np.int64]) -> DescribedFlows:
        """The flows of these numbers, in their order, and no other entities than theirs."""
        if not self._sources:
            return self._described
        columns, entities = self._described.columns[numbers], dict[str, pl.Series]()
        for name, ids in self._described.entities.items():
            codes = columns[name].to_numpy()
            # The last place is that of NO_ENTITY.
            used = np.zeros(len(ids) + 1, np.bool_)
            used[codes] = True
            used[NO_ENTITY] = False
            place = np.cumsum(used, dtype=np.int32) - np.int32(1)
            place[NO_ENTITY] = NO_ENTITY
            columns = columns.with_columns(pl.Series(name, place[codes]))
            entities[name] = ids.gather(np.flatnonzero(used))
        return DescribedFlows(columns, entities)

    def _describe(self, flows: Sequence[Flow]) -> DescribedFlows:
        """Some flows, and the entities that no flow before them had; entities are numbered on."""
        columns, entities = dict[str, pl.Series](), dict[str, pl.Series]()
        for name, source in self._sources.items():
            column, numbers = _column(name), self._numbers[name]
            before = len(numbers)
            ids = [source.entity(flow) for flow in flows]
            codes = [NO_ENTITY if text is None else numbers.setdefault(text, len(numbers)) for text in ids]
            columns[column] = pl.Series(codes, dtype=pl.Int32)
            entities[column] = pl.Series(list(islice(numbers, before, None)), dtype=pl.String)
        for attribute, name in self._attributes.items():
            columns[name] = pl.Series([attribute.of(flow) for flow in flows], dtype=COLUMN_TYPES[attribute.kind])
        for attribute, name in self._limits.items():
            of = self._thresholds.of
            columns[name] = pl.Series([of(str(attribute.of(flow))) for flow in flows], dtype=pl.Int64)
        return DescribedFlows(pl.DataFrame(columns), entities)


def _column(source: str) -> str:
    return f"entity of {source}"
