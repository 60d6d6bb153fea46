"""What scripts switch off beside metrics."""

from collections.abc import Set as AbstractSet

import pytest

from backend.entities.resolution import Resolver
from backend.metrics.analysis import analyse
from backend.metrics.pipeline import Pipeline
from backend.metrics.streams import STREAMS, without
from backend.oal.compiler import Program
from backend.oal.loader import load, load_texts
from backend.storage.interface import Flush
from backend.storage.memory import MemoryStorage
from tests.backend.metrics.exchanges import batch_of, connection, exchange, messages

LAST = 2**31 - 1
ROWS = {
    "service_traffic": ("services", ""),
    "instance_traffic": ("instances", ""),
    "endpoint_traffic": ("endpoints", ""),
    "service_relation_client_side": ("service_relations", "client"),
    "service_relation_server_side": ("service_relations", "server"),
    "service_instance_relation_client_side": ("instance_relations", "client"),
    "service_instance_relation_server_side": ("instance_relations", "server"),
    "endpoint_relation_server_side": ("endpoint_relations", ""),
}
"""By stream: where its rows are, and the side that they are of."""


def left(flush: Flush) -> dict[str, int]:
    """Rows of each stream."""
    return {
        stream: sum(not side or row.side == side for row in getattr(flush, rows))
        for stream, (rows, side) in ROWS.items()
    }


def made() -> Flush:
    """A flush with rows of every stream."""
    call = exchange()
    call.http.callerEndpoint = "GET:/cart"
    given = [batch_of(messages(connection(role), call)) for role in ("server", "client")]
    flush = analyse(given, Resolver(), Program(load().definitions), "writer").flush
    assert all(left(flush).values())
    return flush


FLUSH = made()


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_switched_off_alone(name: str) -> None:
    assert left(without(FLUSH, {name})) == {**left(FLUSH), name: 0}


@pytest.mark.parametrize("disabled", [set(), {"segment", "kubernetes_service_apdex"}])
def test_other_names_switch_nothing_off(disabled: AbstractSet[str]) -> None:
    assert without(FLUSH, disabled) is FLUSH


def test_metrics_of_what_is_switched_off_stay() -> None:
    flush = without(FLUSH, STREAMS.keys())
    assert left(flush) == dict.fromkeys(left(FLUSH), 0)
    assert flush.rows.equals(FLUSH.rows)


async def test_scripts_switch_streams_off_and_on_while_the_backend_runs() -> None:
    writes = "calls = from(K8SService.*).cpm();"
    batch = batch_of(messages(connection("client"), exchange()))
    store = MemoryStorage()
    pipeline = Pipeline(store, load_texts({"x": f"{writes} disable(service_relation_client_side);"}))
    await pipeline.start()
    try:
        await pipeline.submit(batch)
        assert store.service_relations(0, LAST) == []
        assert [service.name for service in store.services()] == ["api"]
        metrics = load_texts({"x": writes})
        pipeline.replace(pipeline.compile(metrics), metrics)
        await pipeline.submit(batch)
        assert [relation.side for relation in store.service_relations(0, LAST)] == ["client"]
    finally:
        await pipeline.stop()
    assert store.metrics(["calls"], [], 0, LAST)["summation"].to_list() == [2]
