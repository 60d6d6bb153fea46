"""The receiver's counters in the names under which Prometheus reads them, collected when it asks."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.ingest.counts import Counts, LogLoss
from backend.server.access_logs import AccessLogService
from backend.server.application import BackendApplication

_WITHOUT_CONNECTION = (LogLoss.NO_CONNECTION, LogLoss.ADDRESS_MISSING, LogLoss.CONNECTION_LOST)


@dataclass(frozen=True, slots=True)
class ReceiverCollector(Collector):
    """Reads the counters of one receiver."""

    service: AccessLogService
    application: BackendApplication

    def collect(self) -> Iterator[Metric]:
        """Everything that is counted."""
        counts = self.service.counts
        yield from _received(counts)
        yield from self._delivered()
        yield from self._calls()
        yield from self._upstream(counts)

    def _delivered(self) -> Iterator[Metric]:
        delivery, budget = self.service.delivery, self.service.budget
        yield _counter("logs_stored", "Logs that are durable", delivery.stored)
        yield _counters("logs_refused", "Logs that were good but not stored", "cause", dict(delivery.refused))
        yield _counter("batches_repeated", "Batches that were stored already", self.service.batches.repeated)
        yield _gauge("buffered_bytes", "Bytes held by all calls", budget.held)
        yield _gauge("buffered_bytes_limit", "Bytes that all calls may hold", budget.limit)
        yield _counter("reservations_refused", "Calls that found no room for their bytes in time", budget.refused)

    def _calls(self) -> Iterator[Metric]:
        family = CounterMetricFamily("pyrover_backend_calls", "gRPC calls ended", labels=["method", "status"])
        for (method, status), count in sorted(self.application.grpc.calls.items()):
            family.add_metric([method, status], count)
        yield family
        yield _gauge("open_calls", "gRPC calls being handled", self.application.grpc.handling)
        refused = dict(self.application.refused)
        yield _counters("requests_refused", "HTTP requests of those who may not ask", "cause", refused)
        ended = dict(self.application.ended)
        yield _counters("connections_ended", "Connections ended to make room for others", "cause", ended)

    def _upstream(self, counts: Counts) -> Iterator[Metric]:
        """Names that dashboards made for SkyWalking's backend look for."""
        dropped = sum(counts.lost_logs[loss] for loss in _WITHOUT_CONNECTION)
        errors = sum(counts.lost_messages.values()) + self.service.broken_streams
        yield _bare("k8s_als_in_count", "Logs accepted", counts.accepted)
        yield _bare("k8s_als_drop_count", "Logs without a usable connection", dropped)
        yield _bare("k8s_als_error_streams", "Messages and streams that could not be read", errors)
        latency = self.service.latency
        yield HistogramMetricFamily(
            "k8s_als_in_latency", "Seconds to decode a message", buckets=latency.buckets(), sum_value=latency.sum
        )


def metrics_route(registry: CollectorRegistry, path: str = "/metrics") -> Route:
    """GET of what is counted, as Prometheus reads it."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), 200, {"content-type": content_type})

    return Route(path, metrics, methods=["GET"])


def _received(counts: Counts) -> Iterator[Metric]:
    yield _counter("messages_received", "Messages received", counts.messages)
    lost_messages = {cause.value: count for cause, count in counts.lost_messages.items()}
    yield _counters("messages_dropped", "Messages dropped whole", "cause", lost_messages)
    yield _counter("logs_received", "Kernel and protocol logs received", counts.logs)
    lost_logs = {cause.label: counts.lost_logs[cause] for cause in LogLoss if cause is not LogLoss.NONE}
    yield _counters("logs_dropped", "Logs dropped", "cause", lost_logs)
    yield _counter("protocol_logs_received", "Protocol logs received, which are among the logs", counts.protocol_logs)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"pyrover_backend_{name}", documentation, value=value)


def _counters(name: str, documentation: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"pyrover_backend_{name}", documentation, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pyrover_backend_{name}", documentation, value=value)


def _bare(name: str, documentation: str, value: float) -> Metric:
    """A count without the suffix that Prometheus's client would add; dashboards expect it so."""
    metric = Metric(name, documentation, "unknown")
    metric.add_sample(name, {}, value)
    return metric
