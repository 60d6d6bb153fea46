"""A receiver of OTLP over HTTP, made of the official messages."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)


class Collector:
    """Keeps what it is sent, and answers as it is told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[ExportMetricsServiceRequest] = []
        self.statuses: list[int] = []
        """Of the next answers; 200 when there are none."""
        self.rejects = 0
        self.body: bytes | None = None
        """What is answered instead of a message."""

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]], int], float]:
        """By metric, attributes and the second at which the minute is over."""
        return {
            (
                metric.name,
                frozenset((each.key, each.value.string_value) for each in point.attributes),
                point.time_unix_nano // 1_000_000_000,
            ): point.as_double
            for request in self.received
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.gauge.data_points
        }


@contextmanager
def collecting() -> Iterator[Collector]:
    """A receiver that listens while the block runs."""
    collector = Collector("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/metrics"
            assert self.headers["content-type"] == "application/x-protobuf"
            assert self.headers["content-encoding"] == "gzip"
            body = self.rfile.read(int(self.headers["content-length"]))
            status = collector.statuses.pop(0) if collector.statuses else 200
            answer = ExportMetricsServiceResponse()
            if status == 200:
                collector.received.append(ExportMetricsServiceRequest.FromString(gzip.decompress(body)))
                answer.partial_success.rejected_data_points = collector.rejects
            content = answer.SerializeToString() if collector.body is None else collector.body
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
