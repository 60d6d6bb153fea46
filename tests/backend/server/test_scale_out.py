"""Two backends behind one address, with ClickHouse, give the answers of one."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import grpc
import httpx
import pytest

from backend.entities.ids import instance_id, service_id
from backend.server.alarms import LEAD, RECORDS
from backend.storage.interface import Precision
from protos.common.common_pb2 import DetectPoint
from protos.ebpf.accesslog_pb2 import AccessLogProtocolType, EBPFAccessLogMessage
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests import patient
from tests.backend.ingest.messages import http_log
from tests.backend.server.processes import Process, backend
from tests.backend.server.senders import Ledger, Sender, minute_now, stream_of
from tests.backend.storage.clickhouse_servers import CLUSTER, PROGRAM, ClickhouseServer, running_servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="clickhouse-server is not installed"),
]

STREAMS = 48
SERVICES = 5
METRICS = (
    "kubernetes_service_read_package_size",
    "kubernetes_service_read_cpm",
    "kubernetes_service_http_call_cpm",
    "kubernetes_service_http_call_time",
    "kubernetes_service_http_call_successful_rate",
    "kubernetes_service_apdex",
)
INSTANCE_METRICS = ("kubernetes_service_instance_read_package_size", "kubernetes_service_instance_http_call_time")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ClickhouseServer]]:
    with running_servers() as started:
        yield started


@dataclass(frozen=True)
class Replica:
    """One of several backends."""

    process: Process
    grpc: str
    http: str


def replicas(
    stack: ExitStack, folder: Path, server: ClickhouseServer, database: str, *, count: int = 2, cluster: str = CLUSTER
) -> list[Replica]:
    """Backends that share a store and the port for agents."""
    environment = {
        "SW_STORAGE": "clickhouse",
        "PYROVER_BACKEND_STORE_CLICKHOUSE_PORT": str(server.port),
        "PYROVER_BACKEND_STORE_CLICKHOUSE_DATABASE": database,
        "PYROVER_BACKEND_STORE_CLICKHOUSE_CLUSTER": cluster,
        "PYROVER_BACKEND_SHARE_PORTS": "true",
    }
    made: list[Replica] = []
    for _ in range(count):
        port = made[0].grpc.rpartition(":")[2] if made else "0"
        process, addresses = stack.enter_context(backend(folder, "--grpc-port", port, environment=environment))
        made.append(Replica(process, addresses["grpc"], addresses["http"]))
    # What they keep is in ClickHouse, but for alarms, whose file they share.
    assert {file.name for file in folder.iterdir()} - {LEAD, RECORDS, f"{RECORDS}-journal"} == set()
    return made


def traffic(number: int, minutes: list[int]) -> list[EBPFAccessLogMessage]:
    """A stream of calls between two services, reported by one of them."""
    local, remote = number % SERVICES, (number * 2 + 1) % SERVICES
    stream = stream_of(f"service-{local}.default", minutes, 3 + number % 4, f"service-{local}-{number % 3}")
    end = stream[0].connection.remote.kubernetes
    end.serviceName, end.podName = f"service-{remote}.default", f"service-{remote}-0"
    stream[0].connection.role = (DetectPoint.client, DetectPoint.server)[number % 2]
    stream[0].connection.protocol = AccessLogProtocolType.HTTP_1
    for part, sent in enumerate(stream):
        start = sent.kernelLogs[0].read.startTime.offset.offset
        status = 500 if (number + part) % 7 == 0 else 200
        exchange = http_log("Get", f"/{'abc'[number % 3]}", status, start=start, end=start + 1_000_000 * (1 + number))
        sent.protocolLog.CopyFrom(exchange)
    return stream


def send_all(address: str, streams: Sequence[list[EBPFAccessLogMessage]]) -> None:
    """Send each stream on a connection of its own."""

    def send(stream: list[EBPFAccessLogMessage]) -> None:
        with grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
            EBPFAccessLogServiceStub(channel).collect(iter(stream), timeout=120)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, streams))


def stored(replica: Replica) -> int:
    """Logs that it says are durable."""
    lines = patient.get(f"{replica.http}/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith("pyrover_backend_logs_stored_total ")]
    return int(float(line.split()[1]))


def written(minute: int) -> str:
    """A minute as the API reads it."""
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()


def answers(http: str, first: int, last: int) -> dict[str, object]:
    """What it says about everything, by question."""
    span = {"start": written(first), "end": written(last)}
    paths = [f"/api/{name}?{urlencode(span)}" for name in ("services", "topology", "endpoints")]
    for number in range(SERVICES):
        service = service_id(f"service-{number}.default")
        paths.append(f"/api/services/{service}/instances?{urlencode(span)}")
        for step in ("minute", "hour", "day"):
            for names, entity in (
                (METRICS, service),
                (INSTANCE_METRICS, instance_id(service, f"service-{number}-0")),
            ):
                asked = [("name", name) for name in names]
                paths.append(f"/api/metrics?{urlencode([*asked, ('entity', entity), ('step', step), *span.items()])}")
    with httpx.Client(base_url=http, timeout=120) as client:
        found = {path: client.get(path) for path in paths}
    assert {answer.status_code for answer in found.values()} == {200}, [answer.text for answer in found.values()]
    return {path: answer.json() for path, answer in found.items()}


def series(http: str, minute: int) -> list[object]:
    """Values of all services in a minute that may still be open."""
    found = []
    for number in range(SERVICES):
        asked = [("name", name) for name in METRICS]
        span = [("start", written(minute)), ("end", written(minute)), ("step", "minute")]
        entity = ("entity", service_id(f"service-{number}.default"))
        found.append(patient.get(f"{http}/api/metrics?{urlencode([*asked, entity, *span])}").json()["series"])
    return found


def test_two_backends_give_the_answers_of_one(tmp_path: Path, servers: list[ClickhouseServer]) -> None:
    now = minute_now()
    # What is said of minutes, hours and days that are over does not depend on when it is asked.
    past = now - 2 * Precision.DAY
    minutes = [past - 65, past - 3, past, now]
    streams = [traffic(number, minutes) for number in range(STREAMS)]
    logs = sum(len(sent.kernelLogs) + 1 for stream in streams for sent in stream)
    folder = tmp_path / "replicas"
    folder.mkdir()
    with ExitStack() as stack:
        both = replicas(stack, folder, servers[0], "both")
        _, single = stack.enter_context(backend(tmp_path / "single"))
        send_all(both[0].grpc, streams)
        send_all(single["grpc"], streams)
        shares = [stored(replica) for replica in both]
        assert min(shares) > 0
        assert sum(shares) == logs
        expected, expected_now = answers(single["http"], minutes[0], past), series(single["http"], now)
        assert any("service-4.default" in str(answer) for answer in expected.values())
        for replica in both:
            assert answers(replica.http, minutes[0], past) == expected
            assert series(replica.http, now) == expected_now
    with ExitStack() as stack:  # and so does one that was not there
        (later,) = replicas(stack, folder, servers[0], "both", count=1)
        assert answers(later.http, minutes[0], past) == expected
        assert series(later.http, now) == expected_now


def test_what_one_acknowledged_before_it_died_the_other_has(tmp_path: Path, servers: list[ClickhouseServer]) -> None:
    now = minute_now()
    minutes, logs = [now - 65, now - 3, now], 5
    ledger = Ledger()
    with ExitStack() as stack:
        both = replicas(stack, tmp_path, servers[1], "deaths")
        stream = stream_of("shop", minutes, logs)
        senders = [Sender(both[0].grpc, "shop", stream, ledger, most=40) for _ in range(4)]
        for sender in senders:
            sender.start()
        ledger.wait_for(10)
        both[0].process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join()
        both[0].process.communicate()
        assert both[0].process.returncode == -signal.SIGKILL
        # Who comes again is served by the one that is left.
        again = Sender(both[0].grpc, "shop", stream, ledger, most=20)
        again.start()
        again.join()
        asked = [("name", "kubernetes_service_read_package_size"), ("entity", service_id("shop"))]
        span = [("start", written(minutes[0])), ("end", written(now)), ("step", "minute")]
        answer = patient.get(f"{both[1].http}/api/metrics?{urlencode([*asked, *span])}").json()
    (series,) = answer["series"]
    values = {point["value"] for point in series["points"] if point["value"] is not None}
    assert len(values) == 1  # a stream is stored as a whole or not at all
    (value,) = values
    least = ledger.acknowledged["shop"]
    assert least >= 30
    assert least <= value / (logs * 10) <= least + ledger.unknown["shop"]
