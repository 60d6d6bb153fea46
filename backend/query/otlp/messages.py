"""From the values of a minute to messages of OTLP."""

from collections.abc import Iterator, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from backend.query.catalog import BYTES, COUNT, MILLISECONDS, NANOSECONDS, PER_MINUTE, TEN_THOUSANDTHS
from backend.query.promql.series import NAME, Labels, Samples, unnamed

MAXIMUM_POINTS = 5_000
"""Most values of a message: it stays well below the 4 MiB that receivers take by default."""
UNITS: Mapping[str, str] = {
    PER_MINUTE: "1/min",
    COUNT: "1",
    BYTES: "By",
    NANOSECONDS: "ns",
    MILLISECONDS: "ms",
    TEN_THOUSANDTHS: "10*-4",
}
"""Units of metrics, as UCUM writes them."""
SOURCE = "pyrover-backend"
_MINUTE = 60_000
_NANOSECONDS = 1_000_000


def messages(samples: Samples, units: Mapping[str, str]) -> Iterator[tuple[ExportMetricsServiceRequest, int]]:
    """Messages with the samples of one minute, and how many values each has.

    A value is a gauge over its minute: it has the minute's begin as its start, and its end as its time.

    Args:
        samples: of one time.
        units: of metrics, by name.
    """
    rows = [row for row in range(len(samples.labels)) if samples.present[row, 0]]
    for start in range(0, len(rows), MAXIMUM_POINTS):
        part = rows[start : start + MAXIMUM_POINTS]
        yield _message(samples, part, units), len(part)


def _message(samples: Samples, rows: list[int], units: Mapping[str, str]) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.append(_attribute("service.name", SOURCE))
    scope = resource.scope_metrics.add()
    scope.scope.name = SOURCE
    metrics: dict[str, Metric] = {}
    for row in rows:
        labels = samples.labels[row]
        name = dict(labels)[NAME]
        if name not in metrics:
            metrics[name] = scope.metrics.add(name=name, unit=UNITS.get(units[name], ""))
        metrics[name].gauge.data_points.add(
            attributes=_attributes(labels),
            start_time_unix_nano=samples.first * _NANOSECONDS,
            time_unix_nano=(samples.first + _MINUTE) * _NANOSECONDS,
            as_double=float(samples.values[row, 0]),
        )
    return request


def _attributes(labels: Labels) -> list[KeyValue]:
    return [_attribute(name, value) for name, value in unnamed(labels)]


def _attribute(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))
