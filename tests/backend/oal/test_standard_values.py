"""Each standard metric of hand-made logs, at the minute, the hour and the day, beside a table of values.

The logs are 60 of each event in the first minute of a day, 60 in the second, and more in the second hour: 2,760 of
connections and transfers, 1,440 calls of each of three kinds. A number that is `base` in the first minute is three
times that in the second and eight times in the second hour. The values in standard_values.tsv follow by hand:

* a mean of connections and transfers is base, 2 x base and 7.75 x base; a total 60, 240 and 22,320 times base; what
  is per minute 60, 4 and 15.5 times base. Relations count what both sides report, where no side is in their name;
* calls take 100.4 ms (status 200), then 700 ms (404), then 3,000 ms (503), 40 ms (302) and 10 ms (101).
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backend.entities.resolution import Resolver
from backend.ingest.batch import START, Address, Connection, DetectPoint, LogBatch, LogKind
from backend.metrics.analysis import analyse
from backend.metrics.reading import rules_of, value_of
from backend.metrics.windows import Step
from backend.oal.compiler import Program
from backend.oal.loader import STANDARD, load
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Precision
from tests.backend.oal import reference
from tests.backend.oal.batches import NODE

TABLE = Path(__file__).with_name("standard_values.tsv")
DEFINITIONS = load(STANDARD / "ebpf.oal").definitions
DAY = 20_000 * Precision.DAY
PREFIXES = {
    "K8SService": "kubernetes_service_",
    "K8SServiceInstance": "kubernetes_service_instance_",
    "K8SEndpoint": "kubernetes_service_endpoint_",
    "K8SServiceRelation": "kubernetes_service_relation_",
    "K8SServiceInstanceRelation": "kubernetes_service_instance_relation_",
}
DURATIONS = {"CONNECT": 400, "ACCEPT": 800, "CLOSE": 1_200, "WRITE": 2_000, "READ": 2_400}
BASES = {
    "write.l4Metrics.totalDuration": 1_600,
    "write.l4Metrics.totalTransmitPackageCount": 8,
    "write.l4Metrics.totalRetransmitPackageCount": 4,
    "write.l4Metrics.totalPackageSize": 6_000,
    "write.l3Metrics.totalDuration": 1_400,
    "write.l3Metrics.totalLocalDuration": 440,
    "write.l3Metrics.totalOutputDuration": 360,
    "write.l3Metrics.totalResolveMACCount": 12,
    "write.l3Metrics.totalResolveMACDuration": 280,
    "write.l3Metrics.totalNetFilterCount": 16,
    "write.l3Metrics.totalNetFilterDuration": 240,
    "write.l2Metrics.totalDuration": 1_000,
    "write.l2Metrics.totalEnterQueueBufferCount": 20,
    "write.l2Metrics.totalReadySendDuration": 160,
    "write.l2Metrics.totalNetDeviceSendDuration": 120,
    "read.l4Metrics.totalDuration": 1_800,
    "read.l3Metrics.totalDuration": 1_520,
    "read.l3Metrics.totalRecvDuration": 480,
    "read.l3Metrics.totalLocalDuration": 520,
    "read.l3Metrics.totalNetFilterCount": 24,
    "read.l3Metrics.totalNetFilterDuration": 200,
    "read.l2Metrics.totalPackageCount": 28,
    "read.l2Metrics.totalPackageSize": 5_200,
    "read.l2Metrics.totalPackageToQueueDuration": 320,
    "read.l2Metrics.totalRcvPackageFromQueueDuration": 560,
    "http.request.sizeOfHeadersBytes": 370,
    "http.request.sizeOfBodyBytes": 74,
    "http.response.sizeOfHeadersBytes": 185,
    "http.response.sizeOfBodyBytes": 3_700,
}
NOTHING = ("request.method", "request.methodName", "request.host", "response.grpcStatus", "slice", "isContinued")
CALLS = {  # by status: nanoseconds
    200: 100_400_000,
    404: 700_000_000,
    503: 3_000_000_000,
    302: 40_000_000,
    101: 10_000_000,
}
KERNEL = [kind for kind in LogKind if kind is not LogKind.HTTP]


def logs(minute: int, factor: int, number: int, calls: dict[int, int], *, connects: bool) -> LogBatch:
    """Logs of one minute, each reported by both sides: `number` of each event, and calls by status."""
    kinds = np.repeat([*map(int, KERNEL), LogKind.HTTP], [*[number] * len(KERNEL), sum(calls.values())])
    statuses = np.zeros(len(kinds), np.int64)
    statuses[kinds == LogKind.HTTP] = np.repeat([*calls], [*calls.values()])
    durations = np.array([CALLS.get(status, 0) for status in statuses.tolist()])
    for name, base in DURATIONS.items():
        durations[kinds == LogKind[name]] = base * factor
    columns = {column: np.full(len(kinds), base * factor) for column, base in BASES.items()}
    columns |= {f"http.{name}": np.zeros(len(kinds), np.int64) for name in NOTHING}
    columns |= {
        "http.request.path": np.ones(len(kinds), np.int64),
        "http.response.statusCode": statuses,
        "connect.success": np.full(len(kinds), int(connects)),
        START: np.zeros(len(kinds), np.int64),
    }
    web, api = (Address(name, f"{name}-1", "", "", 80) for name in ("web", "api"))
    return LogBatch(
        [
            Connection(NODE, api, web, DetectPoint.SERVER, tls=False, protocol=1),
            Connection(NODE, web, api, DetectPoint.CLIENT, tls=False, protocol=1),
        ],
        np.repeat(np.array([0, 1], np.int32), len(kinds)),
        np.tile(kinds.astype(np.int8), 2),
        np.full(2 * len(kinds), minute, np.int32),
        np.tile(durations, 2),
        {column: np.tile(values, 2) for column, values in columns.items()},
        ("", "/orders"),
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbStorage]:
    store = DuckdbStorage(tmp_path_factory.mktemp("store") / "metrics.duckdb")
    program, resolver = Program(DEFINITIONS), Resolver()
    for batch in (
        logs(DAY, 1, 60, {200: 60}, connects=True),
        logs(DAY + 1, 3, 60, {404: 60}, connects=False),
        logs(DAY + 90, 8, 2_760, {503: 1_440, 302: 1_440, 101: 1_440}, connects=True),
    ):
        store.write(analyse([batch], resolver, program, f"at {batch.minute[0]}").flush)
    yield store
    store.close()


def expected(precision: Precision) -> dict[tuple[str, str], int]:
    """Values by metric and label, of those metrics that exist."""
    names = {row.metric for row in reference.table()}
    found = {}
    with TABLE.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            for scope in row["scopes"].split():
                prefixes = (
                    [PREFIXES[scope]]
                    if scope in PREFIXES
                    else [f"{PREFIXES[f'K8S{of}Relation']}{scope}_" for of in ("Service", "ServiceInstance")]
                )
                for prefix in prefixes:
                    value = row[precision.name.lower()]
                    if prefix + row["suffix"] in names and value != "-":
                        found[prefix + row["suffix"], row["label"]] = int(value)
    return found


def entities() -> dict[str, str]:
    """The entity of each scope."""
    web, api = (f"{reference.encode(name)}.1" for name in ("web", "api"))
    instances = [f"{service}_{reference.encode(name)}" for service, name in ((web, "web-1"), (api, "api-1"))]
    return {
        "K8SService": api,
        "K8SServiceInstance": instances[1],
        "K8SEndpoint": f"{api}_{reference.encode('GET:/orders')}",
        "K8SServiceRelation": f"{web}-{api}",
        "K8SServiceInstanceRelation": "-".join(instances),
    }


def test_the_table_has_every_metric() -> None:
    every = {metric for precision in Precision for metric, _ in expected(precision)}
    assert every == {row.metric for row in reference.table()}
    assert len(every) == 296


@pytest.mark.parametrize("precision", Precision)
def test_every_standard_metric_has_its_value(storage: DuckdbStorage, precision: Precision) -> None:
    names = [definition.name for definition in DEFINITIONS]
    rows = storage.metrics(names, [], DAY, DAY, precision)
    assert storage.measures(names, [], DAY, DAY, precision).is_empty()
    found = value_of(rules_of(DEFINITIONS), rows, step=Step(precision))
    of_scope = entities()
    wanted = {definition.name: of_scope[definition.scope] for definition in DEFINITIONS}
    values = {
        (metric, label): whole
        for metric, label, entity, minute, _, whole in found.iter_rows()
        if entity == wanted[metric] and minute == DAY
    }
    assert values == expected(precision)


def test_a_client_has_no_calls_and_no_endpoint(storage: DuckdbStorage) -> None:
    web = f"{reference.encode('web')}.1"
    rows = storage.metrics([definition.name for definition in DEFINITIONS], [], DAY, DAY, Precision.DAY)
    metrics = {metric for metric, _, entity, *_ in rows.iter_rows() if entity == web}
    assert len(metrics) == 50 - 14
    assert not any("http" in metric or "apdex" in metric or "percentile" in metric for metric in metrics)
    assert f"{web}_{reference.encode('GET:/orders')}" not in rows["entity"].to_list()
