import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from backend.server.access_logs import PATH, AccessLogService
from backend.server.serving import listen, serving
from backend.server.telemetry import ReceiverCollector, metrics_route
from backend.telemetry import Latency
from bench.http2 import framed
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.support import Collecting, Receiver, application_of, body_of
from tests.waiting import PATIENCE, eventually


async def test_what_came_in_is_what_the_metrics_say() -> None:
    service = AccessLogService(Collecting())
    registry = CollectorRegistry()
    application = application_of(service, [metrics_route(registry)])
    registry.register(ReceiverCollector(service, application))
    listener = listen("127.0.0.1", 0, "")
    protocol = message(read_log(), remote="b")
    protocol.protocolLog.http.response.statusCode = 200
    messages = [
        message(read_log(), node="n", boot=1.0),
        message(read_log(), read_log(), node="n", remote="a"),
        message(read_log(5, 4)),
        protocol,
    ]
    async with serving(application, [listener], 5.0):
        receiver = Receiver(service, application, listener)
        await receiver.raw(body_of(*(item.SerializeToString() for item in messages), b"\x1a\xff"))
        await receiver.raw(framed(b"")[:-1])
        await receiver.raw(b"", path="/other")
        # Calls are counted a moment after their answers have gone.
        await eventually(lambda: not application.grpc.handling)
        async with httpx.AsyncClient(base_url=f"http://{listener.authority}", timeout=PATIENCE) as client:
            plain = await client.get("/metrics")
            modern = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(plain.text)
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_sum"))
    }
    assert found == {
        ("pyrover_backend_messages_received_total",): 5,
        ("pyrover_backend_messages_dropped_total", "undecodable"): 1,
        ("pyrover_backend_logs_received_total",): 6,
        ("pyrover_backend_logs_dropped_total", "no_connection"): 1,
        ("pyrover_backend_logs_dropped_total", "time_inverted"): 1,
        ("pyrover_backend_logs_dropped_total", "time_missing"): 1,
        ("pyrover_backend_protocol_logs_received_total",): 1,
        ("pyrover_backend_logs_stored_total",): 3,
        ("pyrover_backend_buffered_bytes_limit",): 256 * 1024 * 1024,
        ("pyrover_backend_calls_total", PATH, "OK"): 1,
        ("pyrover_backend_calls_total", PATH, "INTERNAL"): 1,
        ("pyrover_backend_calls_total", "unknown", "UNIMPLEMENTED"): 1,
        ("k8s_als_in_count",): 3,
        ("k8s_als_drop_count",): 1,
        ("k8s_als_error_streams",): 2,
        ("k8s_als_in_latency_count",): 5,
    }


def test_the_buckets_of_a_latency_accumulate() -> None:
    latency = Latency()
    latency.observe(1e-6, 3)
    latency.observe(1.5e-6, 2)
    latency.observe(5.0, 1)
    buckets = dict(latency.buckets())
    assert (buckets["1e-06"], buckets["2e-06"], buckets["0.1"], buckets["+Inf"]) == (3, 5, 5, 6)
    assert latency.sum == 3e-6 + 3e-6 + 5.0
