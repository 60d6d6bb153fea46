"""Expressions that are asked of stores, and what is in these."""

import numpy as np
import polars as pl

from backend.entities.ids import (
    endpoint_id,
    instance_id,
    service_id,
)
from backend.oal.loader import load
from backend.query.catalog import Catalog
from backend.query.mqe.duration import Duration, Step, between
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity
from backend.query.mqe.storage_reader import StorageReader
from backend.storage.interface import (
    Endpoint,
    Flush,
    Instance,
    MetricSchema,
    Service,
    Storage,
)

DEFINITIONS = load(skip_unsupported=True).definitions


CATALOG = Catalog(DEFINITIONS)


API, WEB = service_id("api"), service_id("web")


OF_API = Entity("api")


DAY = 1_440


START = 20_000 * DAY  # a minute at midnight, UTC


CPM, RATE, TIME = (
    "kubernetes_service_http_call_cpm",
    "kubernetes_service_http_call_successful_rate",
    "kubernetes_service_read_time",
)


PERCENTILE = "kubernetes_service_percentile"


INSTANCE_CPM = "kubernetes_service_instance_http_call_cpm"


Row = tuple[str, str, str, int, int, int]
"""Metric, label, entity, minute, summation, count."""


def write(storage: Storage, rows: list[Row], writer: str = "test", **more: object) -> None:
    storage.write(Flush(writer, pl.DataFrame(rows, schema=MetricSchema, orient="row"), **more))  # type: ignore[arg-type] # fields of Flush


def ask(
    storage: Storage, text: str, duration: Duration, entity: Entity = OF_API
) -> list[tuple[dict[str, str], list[float | None]]]:
    result = evaluate(parse(text), StorageReader(storage, CATALOG, entity), duration)
    return [
        (dict(series.labels), [None if np.isnan(value) else value for value in series.values.tolist()])
        for series in result.series
    ]


def minutes(first: int, last: int, step: Step = Step.MINUTE, offset: int = 0) -> Duration:
    return between(first * 60, last * 60, step, offset)


WORLD = {API: ("K8S_SERVICE", ["api-1", "api-2"]), WEB: ("GENERAL", ["web-1"])}


LOADS = {"api-1": [1, 2, 3], "api-2": [8, 0], "web-1": [4]}


def fill(storage: Storage) -> None:
    """Instances and their calls in the first minutes: means are 2, 4 and 4."""
    instances = {name: instance_id(service, name) for service, (_, names) in WORLD.items() for name in names}
    rows: list[Row] = [
        (INSTANCE_CPM, "", instances[name], START + number, load, 0)
        for name, loads in LOADS.items()
        for number, load in enumerate(loads)
    ]
    rows += [(CPM, "", API, START, 13, 0), (CPM, "", WEB, START, 4, 0)]
    rows += [("kubernetes_service_endpoint_call_cpm", "", endpoint_id(API, "GET:/_x-y"), START, 5, 0)]
    write(
        storage,
        rows,
        services=[
            Service(API, "api", "K8S_SERVICE", START, START + 9),
            Service(WEB, "web", "GENERAL", START, START + 9, more_layers=("K8S_SERVICE",)),
        ],
        instances=[
            Instance(instances[name], service, name, START, START + 9)
            for service, (_, names) in WORLD.items()
            for name in names
        ],
        endpoints=[Endpoint(endpoint_id(API, "GET:/_x-y"), API, "GET:/_x-y", START, START + 9)],
    )
