"""The sources of metrics, their attributes, and where an attribute's values are.

An attribute is one of three kinds: a type, which only chooses logs; a column of the logs of one event; or something
that all logs of a flow share. Attributes that nothing feeds yet are declared, so that scripts written for them load.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from backend.entities.resolution import LAYER, Flow
from backend.ingest.batch import DetectPoint, LogKind

EVENTS: Mapping[str, LogKind] = {
    "connect": LogKind.CONNECT,
    "accept": LogKind.ACCEPT,
    "close": LogKind.CLOSE,
    "read": LogKind.READ,
    "write": LogKind.WRITE,
    "protocol": LogKind.HTTP,
}
"""The values of `type`, and the logs that have them."""

PROTOCOLS: Mapping[str, LogKind] = {"http": LogKind.HTTP}
"""The values of `protocol.type`, and the logs that have them."""

HTTP_METHODS = ("Get", "Post", "Put", "Delete", "Head", "Patch", "Options", "Trace", "Connect")
"""Names of the wire's AccessLogHTTPProtocolRequestMethod, by number."""

HTTP_CALL = "http.call"
"""Column of HTTP logs that is made from others (backend/metrics/exchanges.py): 1 for what counts as a call, 0 for a
slice of an exchange that others follow."""
HTTP_LATENCY = "http.latency"
"""The same: nanoseconds that the call took; 0 where that is not known."""
HTTP_TIMED = "http.timed"
"""The same: 1 for a call whose duration is known."""
HTTP_SUCCESS = "http.success"
"""The same: 1 where the service did not fail."""
HTTP_METHOD = "http.method"
"""The same, a text: the method as the wire names it, or as it was sent."""

TEXT_COLUMNS = frozenset({"http.request.path", "http.request.host", HTTP_METHOD})
"""Columns of HTTP logs whose numbers stand for texts."""

CALLS: Mapping[LogKind, str] = {LogKind.HTTP: HTTP_CALL}
"""The column that says which logs count as one, where not all do."""

NANOSECONDS_PER_MILLISECOND = 1_000_000


class Kind(Enum):
    """What values an attribute has."""

    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    STRING = "a string"
    ENUMERATION = "an enumeration"


@dataclass(frozen=True, slots=True)
class EventAttribute:
    """A column of the logs of one event."""

    kind: Kind
    event: str
    column: str
    """Wire path below the log; empty for the duration of the log."""
    stage: str = ""
    """Wire path of the sub-message it is in; empty for what every log of the event has."""
    only_with: str = ""
    """Wire path of the count that must not be 0 for the value to mean anything."""
    is_duration: bool = False
    labels: tuple[str, ...] = ()
    """Texts that the column's numbers stand for."""
    is_text: bool = False
    """Whether the column's numbers are indices of the logs' texts."""
    known: str = ""
    """The column that is not 0 where the value is known; empty when it always is."""
    unit: int = 1
    """How many of the column's units make one of the attribute's. Sums are kept in the column's."""


@dataclass(frozen=True, slots=True)
class FlowAttribute:
    """Something that all logs of a flow share."""

    kind: Kind
    of: Callable[[Flow], str | bool]


@dataclass(frozen=True, slots=True)
class TypeAttribute:
    """What kind of log it is."""

    values: Mapping[str, LogKind]
    kind: Kind = Kind.STRING


@dataclass(frozen=True, slots=True)
class UnfedAttribute:
    """Known, but nothing fills it yet. `event` is where it belongs."""

    kind: Kind
    event: str


Attribute = EventAttribute | FlowAttribute | TypeAttribute | UnfedAttribute


@dataclass(frozen=True, slots=True)
class Source:
    """What metrics can be made from."""

    name: str
    attributes: Mapping[str, Attribute]
    entity: Callable[[Flow], str | None]
    """Id of the entity that a flow counts for."""
    events: frozenset[LogKind] = frozenset(LogKind)
    """The logs that feed it."""
    decorators: frozenset[str] = field(default_factory=frozenset)


_READ_SYSCALLS = ("Read", "Readv", "Recv", "RecvFrom", "RecvMsg", "RecvMmsg")
_WRITE_SYSCALLS = ("Write", "Writev", "Send", "SendTo", "SendMsg", "SendMmsg", "SendFile", "SendFile64")

_STAGES = {
    # attribute prefix: wire sub-message and its fields, attribute name to wire name
    "write.l4": {
        "duration": "totalDuration",
        "transmitPackageCount": "totalTransmitPackageCount",
        "retransmitPackageCount": "totalRetransmitPackageCount",
        "totalPackageSize": "totalPackageSize",
    },
    "write.l3": {
        "duration": "totalDuration",
        "localDuration": "totalLocalDuration",
        "outputDuration": "totalOutputDuration",
        "resolveMACCount": "totalResolveMACCount",
        "resolveMACDuration": "totalResolveMACDuration",
        "netFilterCount": "totalNetFilterCount",
        "netFilterDuration": "totalNetFilterDuration",
    },
    "write.l2": {
        "duration": "totalDuration",
        "enterQueueBufferCount": "totalEnterQueueBufferCount",
        "readySendDuration": "totalReadySendDuration",
        "networkDeviceSendDuration": "totalNetDeviceSendDuration",
    },
    "read.l4": {"duration": "totalDuration"},
    "read.l3": {
        "duration": "totalDuration",
        "rcvDuration": "totalRecvDuration",
        "localDuration": "totalLocalDuration",
        "netFilterCount": "totalNetFilterCount",
        "netFilterDuration": "totalNetFilterDuration",
    },
    "read.l2": {
        "packageCount": "totalPackageCount",
        "totalPackageSize": "totalPackageSize",
        "packageToQueueDuration": "totalPackageToQueueDuration",
        "rcvPackageFromQueueDuration": "totalRcvPackageFromQueueDuration",
    },
}
_COUNT_OF = {"resolveMACDuration": "resolveMACCount", "netFilterDuration": "netFilterCount"}


def _log_attributes() -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "type": TypeAttribute(EVENTS),
        "detectPoint": FlowAttribute(Kind.ENUMERATION, lambda flow: f"DetectPoint.{flow.role.name}"),
        "connect.success": EventAttribute(Kind.BOOLEAN, "connect", "connect.success"),
        "close.success": EventAttribute(Kind.BOOLEAN, "close", "close.success"),
        "read.syscall": EventAttribute(Kind.STRING, "read", "read.syscall", labels=_READ_SYSCALLS),
        "write.syscall": EventAttribute(Kind.STRING, "write", "write.syscall", labels=_WRITE_SYSCALLS),
        "read.l2.netDeviceName": UnfedAttribute(Kind.STRING, "read"),
        "write.l2.networkDeviceName": UnfedAttribute(Kind.STRING, "write"),
    }
    for event in EVENTS:
        if event != "protocol":
            attributes[f"{event}.duration"] = EventAttribute(Kind.INTEGER, event, "", is_duration=True)
    for prefix, fields in _STAGES.items():
        event, _, layer = prefix.partition(".")
        stage = f"{event}.{layer}Metrics"
        for name, wire in fields.items():
            counted_by = fields[_COUNT_OF[name]] if name in _COUNT_OF else ""
            attributes[f"{prefix}.{name}"] = EventAttribute(
                Kind.INTEGER,
                event,
                f"{stage}.{wire}",
                stage=stage,
                only_with=f"{stage}.{counted_by}" if counted_by else "",
                is_duration=name.lower().endswith("duration"),
            )
    attributes["protocol.type"] = TypeAttribute(PROTOCOLS)
    attributes["protocol.success"] = EventAttribute(Kind.BOOLEAN, "protocol", HTTP_SUCCESS)
    attributes |= {f"protocol.{name}": attribute for name, attribute in _http_attributes().items()}
    return attributes


_LATENCY = EventAttribute(
    Kind.INTEGER, "protocol", HTTP_LATENCY, is_duration=True, known=HTTP_TIMED, unit=NANOSECONDS_PER_MILLISECOND
)
_HTTP_NUMBERS = {
    "statusCode": "response.statusCode",
    "sizeOfRequestHeader": "request.sizeOfHeadersBytes",
    "sizeOfRequestBody": "request.sizeOfBodyBytes",
    "sizeOfResponseHeader": "response.sizeOfHeadersBytes",
    "sizeOfResponseBody": "response.sizeOfBodyBytes",
}
_HTTP_TEXTS = {"url": "http.request.path", "host": "http.request.host", "method": HTTP_METHOD}


def _http_attributes() -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {"http.latency": _LATENCY}
    for name, wire in _HTTP_NUMBERS.items():
        attributes[f"http.{name}"] = EventAttribute(Kind.INTEGER, "protocol", f"http.{wire}")
    for name, column in _HTTP_TEXTS.items():
        attributes[f"http.{name}"] = EventAttribute(Kind.STRING, "protocol", column, is_text=True)
    return attributes


def _text(of: Callable[[Flow], str]) -> FlowAttribute:
    return FlowAttribute(Kind.STRING, of)


def _layer(_: Flow) -> str:
    return LAYER


def _make_sources() -> dict[str, Source]:
    logs = _log_attributes()
    ends = {
        "sourceServiceName": _text(lambda flow: flow.source.service),
        "destServiceName": _text(lambda flow: flow.destination.service),
        "sourceLayer": _text(_layer),
        "destLayer": _text(_layer),
    }
    endpoint: dict[str, Attribute] = {
        "serviceName": _text(lambda flow: flow.local.service),
        "endpointName": _text(lambda flow: flow.endpoint_name or ""),
        "layer": _text(_layer),
        "type": TypeAttribute(PROTOCOLS),
        "success": EventAttribute(Kind.BOOLEAN, "protocol", HTTP_SUCCESS),
        "duration": _LATENCY,
        **_http_attributes(),
    }
    sources = (
        Source(
            "K8SService",
            {"name": _text(lambda flow: flow.local.service), "layer": _text(_layer), **logs},
            lambda flow: flow.service,
            decorators=frozenset({"K8SServiceDecorator"}),
        ),
        Source(
            "K8SServiceInstance",
            {
                "serviceName": _text(lambda flow: flow.local.service),
                "serviceInstanceName": _text(lambda flow: flow.local.instance),
                "layer": _text(_layer),
                **logs,
            },
            lambda flow: flow.instance,
        ),
        Source(
            "K8SServiceRelation",
            {**ends, "tlsMode": _text(lambda flow: "TLS" if flow.tls else "Plain"), **logs},
            lambda flow: flow.relation and flow.relation.id,
        ),
        Source(
            "K8SServiceInstanceRelation",
            {
                **ends,
                "sourceServiceInstanceName": _text(lambda flow: flow.source.instance),
                "destServiceInstanceName": _text(lambda flow: flow.destination.instance),
                **logs,
            },
            lambda flow: flow.instance_relation and flow.instance_relation.id,
        ),
        Source("K8SEndpoint", endpoint, lambda flow: flow.endpoint, frozenset(PROTOCOLS.values())),
    )
    return {source.name: source for source in sources}


SOURCES: Mapping[str, Source] = _make_sources()
"""By name."""

ENUMERATIONS: Mapping[str, frozenset[str]] = {"DetectPoint": frozenset(point.name for point in DetectPoint)}
"""Members of the enumerations that filters can name."""

STAGE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    f"{prefix}Metrics": (
        *(f"{prefix}Metrics.{wire}" for wire in fields.values()),
        *((f"{prefix}Metrics.ifindex",) if prefix.endswith("l2") else ()),
    )
    for prefix, fields in _STAGES.items()
}
"""Wire paths of all numbers of a sub-message, by the path of the sub-message."""
