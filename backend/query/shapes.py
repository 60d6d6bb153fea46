"""The JSON that the API answers with, and that `pyrover-backend query --json` prints.

Times are RFC 3339 in UTC with whole minutes. Durations are nanoseconds, sizes bytes. `null` means that there is no
data; it never means zero. Ids are those of SkyWalking. docs/console.md describes each answer.
"""

import msgspec


class Shape(msgspec.Struct):
    """Base of all answers."""


class Span(Shape):
    """The minutes an answer is about; `start` and `end` both belong to it."""

    start: str
    end: str
    observed_minutes: float
    """How many of these minutes have any data at all; rates are totals divided by this."""


class Totals(Shape):
    """What happened in the span, counted exactly."""

    reads: int | None = None
    writes: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    connects: int | None = None
    connects_failed: int | None = None
    accepts: int | None = None
    closes: int | None = None


class Means(Shape):
    """Mean durations over the span, in nanoseconds."""

    read_time: int | None = None
    write_time: int | None = None
    connect_time: int | None = None


class Rates(Shape):
    """The totals, per minute or per second of the time observed."""

    reads_per_minute: float | None = None
    writes_per_minute: float | None = None
    bytes_read_per_second: float | None = None
    bytes_written_per_second: float | None = None
    connects_per_minute: float | None = None
    connects_failed_per_minute: float | None = None
    accepts_per_minute: float | None = None
    closes_per_minute: float | None = None


class Traffic(Shape):
    """What a service or an instance did."""

    totals: Totals
    means: Means
    rates: Rates


class Service(Shape):
    """A service that was seen in the span."""

    id: str
    name: str
    layer: str
    first_seen: str
    last_seen: str
    instances: int
    traffic: Traffic


class Services(Shape):
    """Answer of /api/services, by name."""

    span: Span
    known: int
    """How many services were ever seen."""
    services: list[Service]


class Instance(Shape):
    """An instance that was seen in the span."""

    id: str
    name: str
    first_seen: str
    last_seen: str
    traffic: Traffic


class Instances(Shape):
    """Answer of /api/services/{id}/instances, by name."""

    span: Span
    service: str
    instances: list[Instance]


class EndpointTotals(Shape):
    """Calls of an endpoint in the span, counted exactly."""

    calls: int | None = None
    failed: int | None = None
    """Calls that the service failed to answer: no response, a status of 500 or more, or one of gRPC that says so."""
    status_1xx: int | None = None
    status_2xx: int | None = None
    status_3xx: int | None = None
    status_4xx: int | None = None
    status_5xx: int | None = None


class EndpointMeans(Shape):
    """Means over the calls of an endpoint in the span: nanoseconds and bytes."""

    time: int | None = None
    request_header_bytes: int | None = None
    request_body_bytes: int | None = None
    response_header_bytes: int | None = None
    response_body_bytes: int | None = None


class EndpointRates(Shape):
    """What the totals come to."""

    calls_per_minute: float | None = None
    success: float | None = None
    """The share of the calls that did not fail, from 0 to 1."""


class Endpoint(Shape):
    """A method and a path of a service that were called in the span."""

    id: str
    name: str
    service: str
    service_id: str
    first_seen: str
    last_seen: str
    totals: EndpointTotals
    means: EndpointMeans
    rates: EndpointRates


class Endpoints(Shape):
    """Answer of /api/endpoints and /api/services/{id}/endpoints, those with most calls first."""

    span: Span
    service: str | None
    """Name of the service that was asked about; null for all."""
    known: int
    """How many were called in the span; no more than 1,000 are told."""
    endpoints: list[Endpoint]


class Node(Shape):
    """One end of a call: a service or an instance."""

    id: str
    name: str
    service: str
    """Name of the service; the same as `name` for services."""
    observed: bool
    """Whether an agent reports it; otherwise it is known only as the other end of a call."""


class CallTotals(Shape):
    """What went over a relation, as its source sees it: what it wrote was sent, what it read was received."""

    writes: int | None = None
    reads: int | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None


class CallRates(Shape):
    """The totals, per minute or per second of the time observed."""

    writes_per_minute: float | None = None
    reads_per_minute: float | None = None
    bytes_sent_per_second: float | None = None
    bytes_received_per_second: float | None = None
    connects_per_minute: float | None = None


class Call(Shape):
    """Calls from one node to another."""

    id: str
    source: str
    target: str
    detect_points: list[str]
    """Who reported: "client", "server" or both."""
    protocols: list[str]
    """Names of the protocols, the most telling first; empty between instances."""
    connects: int | None
    connects_failed: int | None
    accepts: int | None
    closes: int | None
    client: CallTotals
    """As the source's side reported it."""
    server: CallTotals
    """As the target's side reported it, turned round to the source's view."""
    rates: CallRates
    """From the client's report, or the server's where there is no other; never both added."""


class Topology(Shape):
    """Answer of /api/topology and /api/instance-topology."""

    span: Span
    nodes: list[Node]
    calls: list[Call]


class MetricName(Shape):
    """A metric that can be asked for."""

    name: str
    scope: str
    function: str
    unit: str


class MetricNames(Shape):
    """Answer of /api/metrics/names."""

    metrics: list[MetricName]


class Point(Shape):
    """A bucket of a series."""

    time: str
    """Beginning of the bucket."""
    value: int | float | None


class Series(Shape):
    """One metric of one entity over time."""

    name: str
    entity: str
    unit: str
    points: list[Point]
    label: str | None = None
    """Which of several series of the metric this is, such as "p99"; null when there is only one."""


class Metrics(Shape):
    """Answer of /api/metrics."""

    start: str
    end: str
    step: str
    incomplete_from: str | None
    """Beginning of the last bucket when it is not over yet."""
    series: list[Series]


class Failure(Shape):
    """Every error of the API."""

    error: str
    hint: str


class Logs(Shape):
    """Logs since the backend was started. null: this process does not count them."""

    received: int | None
    """All that came in readable messages."""
    stored: int | None
    """Those that are durable."""
    dropped: dict[str, int]
    """Those that were no good, by cause."""
    refused: dict[str, int]
    """Those that were good but could not be taken or stored, by cause; an agent of ours sends them again."""


class Messages(Shape):
    """Messages since the backend was started. null: this process does not count them."""

    received: int | None
    dropped: dict[str, int]
    """Those that could not be read, by cause; how many logs they held is not known."""


class Status(Shape):
    """Answer of /api/status."""

    uptime_seconds: int
    logs: Logs
    messages: Messages
