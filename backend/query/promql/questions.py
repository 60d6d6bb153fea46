"""The questions of the HTTP API of Prometheus, answered."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from promql_parser import Expr, MatrixSelector, ParenExpr, SubqueryExpr

from backend.metrics.reading import LABEL_NAMES
from backend.oal.functions import Function
from backend.query.catalog import Catalog
from backend.query.graphql.service_book import ServiceBook
from backend.query.promql import traffic, values
from backend.query.promql.budget import MAXIMUM_SECONDS, Budget
from backend.query.promql.entity_labels import LABELS_OF_SCOPES, EntityLabels
from backend.query.promql.errors import wrong
from backend.query.promql.evaluator import DAY, HOUR, MINUTE, Evaluator, Range, as_vector, spacing_for
from backend.query.promql.matching import Source, selector_of
from backend.query.promql.parameters import Parameters
from backend.query.promql.parsing import formatted, parse, parse_selector
from backend.query.promql.series import NAME, Labels, any_of
from backend.query.promql.storage_source import StorageSource
from backend.storage.interface import Storage

COMPATIBLE = "2.45.0"
"""The version of Prometheus whose language this is a part of, which Apache SkyWalking names too."""
MAXIMUM_SELECTORS = 20
"""Most selectors of a question for series and labels."""
USUAL_SPAN = 24 * 3_600.0
"""Seconds before now in which series are looked for where no time is said."""
_FINE_SAMPLES = 240
"""Most samples of a kind of which it is asked whether there are any."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What all questions are answered from."""

    storage: Storage
    catalog: Catalog
    services: ServiceBook
    clock: Callable[[], float] = time.time
    """Seconds since 1970-01-01 UTC."""
    timer: Callable[[], float] = time.monotonic
    """Seconds that never go back."""

    def source(self, budget: Budget) -> StorageSource:
        """The series, for one question."""
        return StorageSource(self.storage, self.catalog, EntityLabels(self.services), budget, self.clock)


Answer = Callable[[Sources, Parameters], object]
"""The data of an answer. Blocks. May raise PromqlError and StorageError."""


def evaluated(tree: Expr, asked: Range, source: Source, budget: Budget) -> values.Data:
    """The answer to an expression at one time, or over a range. Blocks. Raises PromqlError and StorageError."""
    times = asked.times
    evaluator = Evaluator(source, asked, spacing_for(tree, asked), budget, times)
    # Divisions by zero and the like have a result in PromQL: infinite, or not a number.
    with np.errstate(all="ignore"):
        if not asked.step:
            return (
                values.window(evaluator.window(tree))
                if _is_window(tree)
                else values.instant(evaluator.evaluate(tree), times)
            )
        result = as_vector(evaluator.evaluate(tree))
    return values.over_range(result.labels, result.values, result.present, times)


def _is_window(tree: Expr) -> bool:
    while isinstance(tree, ParenExpr):
        tree = tree.expr
    return isinstance(tree, MatrixSelector | SubqueryExpr)


def query(sources: Sources, asked: Parameters) -> object:
    """An expression at one time."""
    budget = Budget(asked.timeout(), sources.timer)
    return evaluated(parse(asked.one("query")), asked.instant(), sources.source(budget), budget)


def query_range(sources: Sources, asked: Parameters) -> object:
    """An expression over a range."""
    budget = Budget(asked.timeout(), sources.timer)
    return evaluated(parse(asked.one("query")), asked.range(), sources.source(budget), budget)


def format_query(_sources: Sources, asked: Parameters) -> object:
    """An expression as it is usually written."""
    return formatted(asked.one("query"))


def series(sources: Sources, asked: Parameters) -> object:
    """The labels of the series that selectors select."""
    asked.one("match[]")
    return _limited([dict(labels) for labels in sorted(_found(sources, asked))], asked)


def label_names(sources: Sources, asked: Parameters) -> object:
    """The names of labels."""
    if asked.several("match"):
        return _limited(sorted({name for labels in _found(sources, asked) for name, _ in labels}), asked)
    scopes = {metric.scope for metric in sources.catalog.names()} | set(traffic.NAMES.values())
    own = {
        LABEL_NAMES[function]
        for metric in sources.catalog.names()
        if (function := Function[metric.function.upper()]) in LABEL_NAMES
    }
    return _limited(sorted({NAME, *own}.union(*(LABELS_OF_SCOPES[scope] for scope in scopes))), asked)


def label_values(sources: Sources, asked: Parameters, name: str) -> object:
    """The values of a label: of the series that selectors select, or of all services, instances and endpoints."""
    if asked.several("match"):
        found: Iterable[str] = (dict(labels).get(name, "") for labels in _found(sources, asked))
    elif name == NAME:
        found = (*traffic.NAMES, *(metric.name for metric in sources.catalog.names()))
    else:
        # What the other end of a relation can be called is what an end can be called.
        own = name.removeprefix("dest_")
        found = (dict(labels).get(own, "") for labels in _selected(sources, asked, [f'{{{NAME}=~".*_traffic"}}']))
    return _limited(sorted({value for value in found if value}), asked)


def metadata(sources: Sources, asked: Parameters) -> object:
    """What metrics are."""
    chosen = asked.several("metric")
    known = {name: [_described("Seen: 1", "")] for name in traffic.NAMES} | {
        metric.name: [_described(f"{metric.function} of {metric.scope}, {metric.unit}", metric.unit)]
        for metric in sources.catalog.names()
    }
    found = {name: told for name, told in sorted(known.items()) if not chosen or name in chosen}
    limit = asked.limit()
    return dict(list(found.items())[:limit])


def build_information(_sources: Sources, _asked: Parameters) -> object:
    """What this is compatible with."""
    return {"version": COMPATIBLE, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}


def _nothing(data: object) -> Answer:
    """The answer about what a Prometheus server has and this has not; Grafana asks for it all the same."""
    return lambda _sources, _asked: data


QUESTIONS: Mapping[str, Answer] = {
    "/api/v1/query": query,
    "/api/v1/query_range": query_range,
    "/api/v1/format_query": format_query,
    "/api/v1/series": series,
    "/api/v1/labels": label_names,
    "/api/v1/metadata": metadata,
    "/api/v1/status/buildinfo": build_information,
    "/api/v1/query_exemplars": _nothing([]),
    "/api/v1/rules": _nothing({"groups": []}),
    "/api/v1/alerts": _nothing({"alerts": []}),
    "/api/v1/targets": _nothing({"activeTargets": [], "droppedTargets": []}),
    "/api/v1/alertmanagers": _nothing({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
}
"""By address; that of the values of a label has its name in it."""


def _described(text: str, unit: str) -> dict[str, str]:
    return {"type": "gauge", "help": text, "unit": unit}


def _found(sources: Sources, asked: Parameters) -> set[Labels]:
    """Labels of the series that the selectors of a question select."""
    return _selected(sources, asked, asked.several("match"))


def _selected(sources: Sources, asked: Parameters, selectors: Sequence[str]) -> set[Labels]:
    if len(selectors) > MAXIMUM_SELECTORS:
        raise wrong(f"the question has {len(selectors)} selectors, more than {MAXIMUM_SELECTORS}: ask in several")
    budget = Budget(MAXIMUM_SECONDS, sources.timer)
    # A series is there also while its minute, hour or day is not over.
    source = replace(sources.source(budget), settled=False)
    start, end = asked.span(USUAL_SPAN)
    spacing = next((each for each in (MINUTE, HOUR) if (end - start) // each < _FINE_SAMPLES), DAY)
    found: set[Labels] = set()
    for text in selectors:
        samples = source.select(selector_of(parse_selector(text)), start // spacing * spacing, end, spacing)
        found.update(labels for labels, there in zip(samples.labels, any_of(samples.present, 1), strict=True) if there)
    return found


def _limited(found: list[Any], asked: Parameters) -> list[Any]:
    return found[: asked.limit()]
