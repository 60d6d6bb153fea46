"""What metrics need of flows, as columns: one row per flow."""

from collections.abc import Sequence

import polars as pl

from backend.entities.resolution import Flow
from backend.oal.apdex import ApdexThresholds
from backend.oal.attributes import COLUMN_TYPES, FlowAttribute
from backend.oal.sources import Source


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

    def describe(self, flows: Sequence[Flow]) -> pl.DataFrame:
        """The columns that were named."""
        columns: dict[str, pl.Series] = {
            f"entity of {name}": pl.Series([source.entity(flow) for flow in flows], dtype=pl.String)
            for name, source in self._sources.items()
        }
        for attribute, name in self._attributes.items():
            columns[name] = pl.Series([attribute.of(flow) for flow in flows], dtype=COLUMN_TYPES[attribute.kind])
        for attribute, name in self._limits.items():
            of = self._thresholds.of
            columns[name] = pl.Series([of(str(attribute.of(flow))) for flow in flows], dtype=pl.Int64)
        return pl.DataFrame(columns)
