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
from backend.oal.terms import Columns, Computed, Terms
from backend.storage.entity_ids import EntityIds

NO_ENTITY = -1
"""Instead of an entity's number: the flow counts for none."""


@dataclass(frozen=True, slots=True)
class DescribedFlows:
    """What is known of some flows: columns, of which each is gathered when it is asked for."""

    entities: Mapping[str, EntityIds]
    """By column of entities: what its numbers stand for, among others."""
    numbers: NDArray[np.int64] | None
    """Those of the flows among all that are known; None for all, in their order."""
    known: Columns
    """The columns of all flows. Of entities they have numbers or NO_ENTITY (np.int32), of conditions truths."""
    count: int
    """How many flows there are."""

    def __len__(self) -> int:
        return self.count

    def of(self, column: str, flow: NDArray[np.integer]) -> NDArray[np.generic] | pl.Series:
        """A column of some flows, which are indexes into these."""
        known = self.known[column]
        places = flow if self.numbers is None else self.numbers[flow]
        return known.gather(places) if isinstance(known, pl.Series) else known[places]


class FlowColumns:
    """Names of columns, each for one attribute, threshold, condition or entity."""

    def __init__(self, thresholds: ApdexThresholds) -> None:
        self._thresholds = thresholds
        self._attributes: dict[FlowAttribute, str] = {}
        self._limits: dict[FlowAttribute, str] = {}
        self._sources: dict[str, Source] = {}
        self._conditions = Terms("met ")

    def attribute(self, attribute: FlowAttribute) -> str:
        """The column of an attribute."""
        return self._attributes.setdefault(attribute, f"attribute {len(self._attributes)}")

    def limit(self, name: FlowAttribute) -> str | int:
        """The column of apdex thresholds for the services that an attribute names, or the one threshold of all."""
        if not self._thresholds.services:
            return self._thresholds.default
        return self._limits.setdefault(name, f"limit {len(self._limits)}")

    def condition(self, key: object, met: pl.Expr) -> str:
        """The column of truths of an expression over columns of attributes; `key` is equal for equal ones."""
        return self._conditions.name(key, met)

    def entity(self, source: Source) -> str:
        """The column of entities of a source."""
        self._sources[source.name] = source
        return _column(source.name)

    def describer(self) -> "FlowDescriber":
        """What makes the columns that were named until now."""
        return FlowDescriber(
            self._sources, self._attributes, self._limits, self._thresholds, self._conditions.expressions
        )


class FlowDescriber:
    """Looks at each flow once, however often it has logs. For use from one thread.

    Args:
        sources: whose entities flows count for, by name.
        attributes: names of columns, by attribute.
        limits: names of columns of apdex thresholds, by the attribute that names services.
        thresholds: of services.
        conditions: what makes columns of truths of attributes.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        attributes: Mapping[FlowAttribute, str],
        limits: Mapping[FlowAttribute, str],
        thresholds: ApdexThresholds,
        conditions: Sequence[pl.Expr],
    ) -> None:
        self._sources = dict(sources)
        self._attributes = dict(attributes)
        self._limits = dict(limits)
        self._thresholds = thresholds
        self._conditions = Computed(conditions)
        self._ids = {name: EntityIds() for name in sources}
        self._entities = {_column(name): ids for name, ids in self._ids.items()}
        self._columns = self._describe([])
        self._count = 0

    def take(self, flows: Sequence[Flow]) -> None:
        """Take more flows; their numbers follow those of the flows before."""
        self._count += len(flows)
        if flows:
            more = self._describe(flows)
            self._columns = {name: _joined(column, more[name]) for name, column in self._columns.items()}

    def __len__(self) -> int:
        return self._count

    def describe(self, numbers: NDArray[np.int64]) -> DescribedFlows:
        """The flows of these numbers, each once, in the order of numbers."""
        is_all = len(numbers) == self._count
        return DescribedFlows(self._entities, None if is_all else numbers, self._columns, len(numbers))

    def _describe(self, flows: Sequence[Flow]) -> Columns:
        """Some flows, one row each."""
        columns = dict[str, NDArray[np.generic] | pl.Series]()
        for name, source in self._sources.items():
            number = self._ids[name].number
            entities = map(source.entity, flows)
            codes = [NO_ENTITY if entity is None else number(entity) for entity in entities]
            columns[_column(name)] = np.array(codes, np.int32)
        for attribute, name in self._attributes.items():
            columns[name] = pl.Series([attribute.of(flow) for flow in flows], dtype=COLUMN_TYPES[attribute.kind])
        for attribute, name in self._limits.items():
            of = self._thresholds.of
            columns[name] = pl.Series([of(str(attribute.of(flow))) for flow in flows], dtype=pl.Int64)
        for name, met in self._conditions.of(columns, len(flows)).items():
            columns[name] = met.fill_null(value=False).to_numpy()
        return columns


def _joined(
    column: NDArray[np.generic] | pl.Series, more: NDArray[np.generic] | pl.Series
) -> NDArray[np.generic] | pl.Series:
    if isinstance(column, pl.Series) and isinstance(more, pl.Series):
        return pl.concat([column, more], rechunk=True)
    return np.concatenate([column, more])


def _column(source: str) -> str:
    return f"entity of {source}"
