"""A real Rover's streams of the bookinfo example, through the real server into a real store: who is there, who calls
whom, and what the endpoints are. What is expected is what Apache SkyWalking's own acceptance run of Rover expects.
"""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from backend.entities import ids
from backend.server.settings import STORE
from backend.storage.duckdb import DuckdbStorage
from protos.ebpf.accesslog_pb2 import EBPFAccessLogDownstream
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from protos.ebpf.process_pb2 import EBPFProcessPingPkgList
from protos.ebpf.process_pb2_grpc import EBPFProcessServiceStub
from tests.backend.server.bookinfo import CALLS, HOPS, POD, streams
from tests.backend.server.processes import backend

SERVICES = ("details", "productpage", "ratings", "reviews")
ALWAYS = 0, 1 << 30
HTTP = 49
IDLE = "istio-egressgateway.istio-system"
"""A service that its agent reports and that has no traffic."""


def service(name: str | None) -> str:
    return ids.service_id("Unknown" if name is None else f"{name}.default")


def instance(name: str | None) -> str:
    return ids.instance_id(service(name), "Unknown" if name is None else POD.format(name))


def pings() -> EBPFProcessPingPkgList:
    """Of the processes of a pod that nobody calls."""
    made = EBPFProcessPingPkgList(ebpfAgentID="6d1c")
    for process in ("pilot-agent", "envoy"):
        entity = made.processes.add().entityMetadata
        entity.layer, entity.serviceName, entity.instanceName = "MESH_DP", IDLE, "egress-1"
        entity.processName, entity.labels[:] = process, ["mesh-envoy"]
    return made


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbStorage]:
    folder: Path = tmp_path_factory.mktemp("bookinfo")
    with backend(folder) as (process, addresses):
        for messages in streams().values():
            with grpc.insecure_channel(addresses["grpc"]) as channel:
                answer, call = EBPFAccessLogServiceStub(channel).collect.with_call(iter(messages), timeout=120)
                assert answer == EBPFAccessLogDownstream()
                assert call.trailing_metadata() == ()  # nothing was dropped
        with grpc.insecure_channel(addresses["grpc"]) as channel:
            EBPFProcessServiceStub(channel).keepAlive(pings(), timeout=120)
        process.terminate()
        process.communicate(timeout=120)
        assert process.returncode == 0
    store = DuckdbStorage(folder / STORE)
    yield store
    store.close()


def test_the_services_and_their_layer(storage: DuckdbStorage) -> None:
    found = [(of.id, of.name, of.layer, of.more_layers, of.normal) for of in storage.services() if of.name != IDLE]
    assert found == [(service(name), f"{name}.default", "K8S_SERVICE", (), True) for name in SERVICES]


def test_a_service_without_traffic_is_there_because_its_agent_says_so(storage: DuckdbStorage) -> None:
    found = [of for of in storage.services() if of.name == IDLE]
    assert [(of.id, of.layer, of.more_layers) for of in found] == [(ids.service_id(IDLE), "MESH_DP", ())]
    assert [of.name for of in storage.instances(ids.service_id(IDLE), *ALWAYS)] == ["egress-1"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_instances_are_the_pods(storage: DuckdbStorage, name: str) -> None:
    found = [(of.id, of.name) for of in storage.instances(service(name), *ALWAYS)]
    assert found == [(instance(name), POD.format(name))]


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.path)
def test_the_endpoints_are_methods_and_paths(storage: DuckdbStorage, hop: tuple[str, ...]) -> None:
    _, destination, path, *_ = hop
    endpoint = ids.endpoint_id(service(destination), f"GET:{path}")
    assert [(of.id, of.name) for of in storage.endpoints(service(destination), *ALWAYS)] == [(endpoint, f"GET:{path}")]


def test_the_id_of_an_endpoint_is_the_one_that_upstream_writes() -> None:
    assert ids.endpoint_id(service("details"), "GET:/details/0") == "ZGV0YWlscy5kZWZhdWx0.1_R0VUOi9kZXRhaWxzLzA="


def test_each_call_is_seen_from_both_sides_and_from_outside_from_one(storage: DuckdbStorage) -> None:
    found = {(of.source_id, of.destination_id, of.side, of.component) for of in storage.service_relations(*ALWAYS)}
    expected = {(service(hop.source), service(hop.destination), "server", HTTP) for hop in HOPS}
    expected |= {(service(hop.source), service(hop.destination), "client", HTTP) for hop in HOPS if hop.source}
    assert found == expected


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.path)
def test_the_instances_call_each_other(storage: DuckdbStorage, hop: tuple[str, ...]) -> None:
    source, destination, *_ = hop
    found = storage.instance_relations(service(source), service(destination), *ALWAYS)
    ends = instance(source), instance(destination)
    assert {(of.source_id, of.destination_id, of.side) for of in found} == {
        (*ends, side) for side in (("client", "server") if source else ("server",))
    }


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.path)
def test_what_was_measured_of_each_hop(storage: DuckdbStorage, hop: tuple[str, str, str, int, int]) -> None:
    source, destination, path, _, milliseconds = hop
    relation = ids.service_relation_id(service(source), service(destination))
    total = CALLS * milliseconds * 1_000_000
    server, client, endpoint = (
        "kubernetes_service_relation_server_http_call_time",
        "kubernetes_service_relation_client_http_call_time",
        "kubernetes_service_endpoint_call_time",
    )
    expected = {
        (server, relation): (total, CALLS),
        (endpoint, ids.endpoint_id(service(destination), f"GET:{path}")): (total, CALLS),
    }
    if source:
        expected[client, relation] = (total, CALLS)
    rows = storage.metrics([server, client, endpoint], [entity for _, entity in expected], *ALWAYS)
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for metric, entity, summation, count in rows.select("metric", "entity", "summation", "count").iter_rows():
        before = found.get((metric, entity), (0, 0))
        found[metric, entity] = before[0] + summation, before[1] + count
    assert found == expected
