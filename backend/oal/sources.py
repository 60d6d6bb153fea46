"""The sources of metrics, their attributes, and where an attribute's values are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backend.entities.resolution import LAYER, Flow
from backend.ingest.batch import DetectPoint, LogKind
from backend.oal.attributes import Attribute, EventAttribute, FlowAttribute, Kind, TypeAttribute

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

HTTP_VERSIONS = ("HTTP1", "HTTP2")
"""Names of the wire's AccessLogHTTPProtocolVersion, by number."""

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

READ_DEVICE = "read.l2Metrics.deviceName"
"""Column of reads that is made from others (backend/metrics/devices.py), a text: the name of the network device, empty
where it is not known."""
WRITE_DEVICE = "write.l2Metrics.deviceName"
"""The same of writes."""

CALLS: Mapping[LogKind, str] = {LogKind.HTTP: HTTP_CALL}
"""The column that says which logs count as one, where not all do."""

NANOSECONDS_PER_MILLISECOND = 1_000_000


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
        "detectPoint": _DETECT_POINT,
        "connect.success": EventAttribute(Kind.BOOLEAN, "connect", "connect.success"),
        "close.success": EventAttribute(Kind.BOOLEAN, "close", "close.success"),
        "read.syscall": EventAttribute(Kind.STRING, "read", "read.syscall", labels=_READ_SYSCALLS),
        "write.syscall": EventAttribute(Kind.STRING, "write", "write.syscall", labels=_WRITE_SYSCALLS),
        "read.l2.netDeviceName": _device("read", READ_DEVICE),
        "write.l2.networkDeviceName": _device("write", WRITE_DEVICE),
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


def _device(event: str, column: str) -> EventAttribute:
    return EventAttribute(Kind.STRING, event, column, is_text=True, empty_is_null=True)


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
    attributes: dict[str, Attribute] = {
        "http.latency": _LATENCY,
        "http.version": EventAttribute(Kind.STRING, "protocol", "http.version", labels=HTTP_VERSIONS),
    }
    for name, wire in _HTTP_NUMBERS.items():
        attributes[f"http.{name}"] = EventAttribute(Kind.INTEGER, "protocol", f"http.{wire}")
    for name, column in _HTTP_TEXTS.items():
        attributes[f"http.{name}"] = EventAttribute(Kind.STRING, "protocol", column, is_text=True)
    return attributes


def _text(of: Callable[[Flow], str | None]) -> FlowAttribute:
    return FlowAttribute(Kind.STRING, of)


_LAYER = _text(lambda _: LAYER)
_DETECT_POINT = FlowAttribute(Kind.ENUMERATION, lambda flow: f"DetectPoint.{flow.role.name}")
_OF_DECORATORS: Mapping[str, Attribute] = {f"attr{number}": _text(lambda _: None) for number in range(6)}
"""Upstream fills these after the filters, for queries; in a script they are null."""
_CALLS: Mapping[str, Attribute] = {
    "type": TypeAttribute(PROTOCOLS),
    "success": EventAttribute(Kind.BOOLEAN, "protocol", HTTP_SUCCESS),
    "duration": _LATENCY,
    **_http_attributes(),
}
"""What sources of calls have beside names."""
_ENDS: Mapping[str, Attribute] = {
    "sourceServiceName": _text(lambda flow: flow.source.service),
    "destServiceName": _text(lambda flow: flow.destination.service),
    "sourceLayer": _LAYER,
    "destLayer": _LAYER,
    "componentIds": FlowAttribute(Kind.LIST, lambda flow: [component for component in flow.components if component]),
    "tlsMode": _text(lambda flow: flow.tls_mode),
    "detectPoint": _DETECT_POINT,
}
_INSTANCE_ENDS: Mapping[str, Attribute] = {
    "sourceServiceInstanceName": _text(lambda flow: flow.source.instance or None),
    "destServiceInstanceName": _text(lambda flow: flow.destination.instance or None),
}


def _make_sources() -> dict[str, Source]:
    logs = _log_attributes()
    sources = (
        Source(
            "K8SService",
            {"name": _text(lambda flow: flow.local.service), "layer": _LAYER, **_OF_DECORATORS, **logs},
            lambda flow: flow.service,
            decorators=frozenset({"K8SServiceDecorator"}),
        ),
        Source(
            "K8SServiceInstance",
            {
                "serviceName": _text(lambda flow: flow.local.service),
                "serviceInstanceName": _text(lambda flow: flow.local.instance),
                "layer": _LAYER,
                **_OF_DECORATORS,
                **logs,
            },
            lambda flow: flow.instance,
        ),
        Source("K8SServiceRelation", {**_ENDS, **logs}, lambda flow: flow.relation and flow.relation.id),
        Source(
            "K8SServiceInstanceRelation",
            {**_ENDS, **_INSTANCE_ENDS, **logs},
            lambda flow: flow.instance_relation and flow.instance_relation.id,
        ),
        Source(
            "K8SEndpoint",
            {
                "serviceName": _text(lambda flow: flow.local.service),
                "endpointName": _text(lambda flow: flow.endpoint_name),
                "layer": _LAYER,
                **_CALLS,
            },
            lambda flow: flow.endpoint,
            frozenset(PROTOCOLS.values()),
        ),
        Source(
            "K8SEndpointRelation",
            {
                "sourceEndpointName": _text(lambda flow: flow.source_endpoint_name),
                "destEndpointName": _text(lambda flow: flow.destination_endpoint_name),
                **_ENDS,
                **_INSTANCE_ENDS,
                **_CALLS,
            },
            lambda flow: flow.endpoint_relation and flow.endpoint_relation.id,
            frozenset(PROTOCOLS.values()),
        ),
    )
    return {source.name: source for source in sources}


SOURCES: Mapping[str, Source] = _make_sources()
"""By name."""

FOREIGN_SOURCES = frozenset(
    {
        *("All", "Service", "ServiceInstance", "Endpoint"),
        *("ServiceRelation", "ServiceInstanceRelation", "EndpointRelation"),
        *("TCPService", "TCPServiceInstance", "TCPServiceRelation", "TCPServiceInstanceRelation"),
        *("DatabaseAccess", "CacheAccess", "MQAccess", "MQEndpointAccess", "Event", "EnvoyInstanceMetric"),
        *("ServiceInstanceJVMCPU", "ServiceInstanceJVMMemory", "ServiceInstanceJVMMemoryPool"),
        *("ServiceInstanceJVMGC", "ServiceInstanceJVMThread", "ServiceInstanceJVMClass"),
        *("ServiceInstanceCLRCPU", "ServiceInstanceCLRGC", "ServiceInstanceCLRThread"),
        *("BrowserAppTraffic", "BrowserAppSingleVersionTraffic", "BrowserAppPageTraffic", "BrowserAppPagePerf"),
        *("CiliumService", "CiliumServiceInstance", "CiliumEndpoint", "CiliumServiceRelation"),
        *("CiliumServiceInstanceRelation", "CiliumEndpointRelation"),
        *("Process", "ProcessRelation"),
    }
)
"""Sources that Apache SkyWalking feeds from other than access logs."""

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
