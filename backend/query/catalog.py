"""The metrics that can be asked for: their functions, scopes and units."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from backend.entities.ids import (
    decode_endpoint_id,
    decode_endpoint_relation_id,
    decode_instance_id,
    decode_instance_relation_id,
    decode_service_id,
    decode_service_relation_id,
)
from backend.metrics.reading import rules_of
from backend.metrics.windows import Compatibility, Rule
from backend.oal.definitions import Definition
from backend.oal.functions import Function
from backend.query.errors import QueryError
from backend.query.shapes import MetricName

PER_MINUTE = "per minute"
COUNT = "count"
BYTES = "bytes"
NANOSECONDS = "ns"
MILLISECONDS = "ms"
TEN_THOUSANDTHS = "1/10000"

CHECKS: Mapping[str, Callable[[str], object]] = {
    "K8SService": decode_service_id,
    "K8SServiceInstance": decode_instance_id,
    "K8SEndpoint": decode_endpoint_id,
    "K8SServiceRelation": decode_service_relation_id,
    "K8SServiceInstanceRelation": decode_instance_relation_id,
    "K8SEndpointRelation": decode_endpoint_relation_id,
}
"""By scope, what reads an entity id of it, or raises ValueError."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, as much of it as its readers need."""

    name: str
    scope: str
    function: Function
    unit: str
    divisor: int
    """What sums are divided by to have the unit."""
    rule: Rule
    """How its stored values are read."""


class Catalog:
    """Metrics by name.

    Attributes:
        compatibility: where their values are read as Apache SkyWalking reads them.
    """

    def __init__(self, definitions: Iterable[Definition], compatibility: Compatibility | None = None) -> None:
        self.compatibility = compatibility or Compatibility()
        known = list(definitions)
        rules = rules_of(known)
        metrics = (
            Metric(
                definition.name,
                definition.scope,
                definition.function,
                unit_of(definition),
                definition.unit,
                rules[definition.name],
            )
            for definition in known
        )
        self._metrics = {metric.name: metric for metric in metrics}

    def metric(self, name: str) -> Metric:
        """The metric of a name. Raises QueryError."""
        found = self._metrics.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._metrics, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "GET /api/metrics/names lists them"
            raise QueryError(f"there is no metric {name!r}", hint, HTTPStatus.NOT_FOUND)
        return found

    def check_entity(self, metric: Metric, entity: str) -> None:
        """Raise QueryError when `entity` is not an id of the metric's scope."""
        try:
            CHECKS[metric.scope](entity)
        except ValueError as error:
            hint = f"{metric.name} is a metric of the scope {metric.scope}; percent-encode ids"
            raise QueryError(str(error), hint) from None

    def names(self) -> list[MetricName]:
        """All metrics, by name."""
        return [
            MetricName(metric.name, metric.scope, metric.function.name.lower(), metric.unit)
            for _, metric in sorted(self._metrics.items())
        ]


def unit_of(definition: Definition) -> str:
    """What a metric's values count."""
    function, value = definition.function, definition.value
    if function is Function.CPM or (function is Function.SUM and definition.name.endswith("_cpm")):
        return PER_MINUTE
    if function in {Function.PERCENT, Function.RATE, Function.APDEX}:
        return TEN_THOUSANDTHS
    if function is Function.HISTOGRAM or value is None:
        return COUNT
    return _unit_of_attribute(tuple(value.path.split(".")))


def _unit_of_attribute(path: tuple[str, ...]) -> str:
    last = path[-1].lower()
    if last == "latency" or path == ("duration",):  # of requests
        return MILLISECONDS
    if last.endswith("duration"):
        return NANOSECONDS
    return BYTES if "size" in last else COUNT
