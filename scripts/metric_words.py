"""What metrics measure, in words: docs/metrics-reference.md is put together from these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from backend.ingest.batch import LogKind
from backend.oal.definitions import Definition
from backend.oal.functions import Function
from backend.oal.syntax import Enumeration, Operator
from backend.oal.values import Condition
from backend.query.catalog import PER_MINUTE, unit_of


@dataclass(frozen=True, slots=True)
class Words:
    """An attribute in words."""

    one: str
    """Of a single log; follows "mean"."""
    all: str
    """Added up over logs; begins a sentence."""


LOGS: Final[Mapping[LogKind, str]] = {
    LogKind.CONNECT: "connects",
    LogKind.ACCEPT: "accepts",
    LogKind.CLOSE: "closes",
    LogKind.READ: "reads",
    LogKind.WRITE: "writes",
    LogKind.HTTP: "HTTP calls",
}


def _bytes(what: str) -> Words:
    return Words(f"bytes of the {what} of a call", f"bytes of the {what}")


_LATENCY: Final = Words(
    "time of a call, from the first byte of the request to the last one of the response",
    "time of calls, from the first byte of the request to the last one of the response",
)
_HTTP: Final[Mapping[str, Words]] = {
    "http.latency": _LATENCY,
    "http.sizeOfRequestHeader": _bytes("request's header"),
    "http.sizeOfRequestBody": _bytes("request's body"),
    "http.sizeOfResponseHeader": _bytes("response's header"),
    "http.sizeOfResponseBody": _bytes("response's body"),
}

VALUES: Final[Mapping[str, Words]] = {
    "connect.duration": Words("time from a connect to its outcome", "time from connects to their outcomes"),
    "accept.duration": Words("time of an accept, waiting included", "time of accepts, waiting included"),
    "close.duration": Words("time of a close", "time of closes"),
    "write.duration": Words("time of a write's system call", "time of the system calls of writes"),
    "write.l4.duration": Words("time of a write in L4 (TCP, UDP)", "time of writes in L4 (TCP, UDP)"),
    "write.l4.transmitPackageCount": Words("packages sent for a write", "packages sent, retransmissions included"),
    "write.l4.retransmitPackageCount": Words("packages sent again for a write", "packages sent again"),
    "write.l4.totalPackageSize": Words("bytes of payload sent for a write", "bytes of payload sent"),
    "write.l3.duration": Words("time of a write in L3 (IP)", "time of writes in L3 (IP)"),
    "write.l3.localDuration": Words(
        "time of a write in L3 until it has left local output", "time of writes in L3 until they have left local output"
    ),
    "write.l3.outputDuration": Words(
        "time of a write in L3 from local output to the neighbour's address",
        "time of writes in L3 from local output to the neighbour's address",
    ),
    "write.l3.resolveMACCount": Words("look-ups of a neighbour for a write", "look-ups of a neighbour's address"),
    "write.l3.resolveMACDuration": Words(
        "time of a write in look-ups of a neighbour", "time in look-ups of a neighbour's address"
    ),
    "write.l3.netFilterCount": Words("passages of netfilter for a write", "passages of netfilter by what is sent"),
    "write.l3.netFilterDuration": Words("time of a write in netfilter", "time in netfilter of what is sent"),
    "write.l2.duration": Words("time of a write in L2 (queue and driver)", "time of writes in L2 (queue and driver)"),
    "write.l2.enterQueueBufferCount": Words(
        "number of packages that entered the device's queue for a write", "packages that entered the device's queue"
    ),
    "write.l2.readySendDuration": Words(
        "time of a write in the device's queue, until the driver takes it",
        "time in the device's queue, until the driver takes the packages",
    ),
    "write.l2.networkDeviceSendDuration": Words("time of a write in the driver", "time in the device's driver"),
    "read.duration": Words("time of a read's system call", "time of the system calls of reads"),
    "read.l4.duration": Words("time in L4 (TCP, UDP) of what a read took", "time in L4 (TCP, UDP) of what was read"),
    "read.l3.duration": Words("time in L3 (IP) of what a read took", "time in L3 (IP) of what was read"),
    "read.l3.rcvDuration": Words(
        "time in L3 until routing of what a read took", "time in L3 until routing of what was read"
    ),
    "read.l3.localDuration": Words(
        "time in L3 in local delivery of what a read took", "time in L3 in local delivery of what was read"
    ),
    "read.l3.netFilterCount": Words("passages of netfilter for a read", "passages of netfilter by what is received"),
    "read.l3.netFilterDuration": Words(
        "time in netfilter of what a read took", "time in netfilter of what is received"
    ),
    "read.l2.packageCount": Words("packages received for a read", "packages received"),
    "read.l2.totalPackageSize": Words("bytes of payload received for a read", "bytes of payload received"),
    "read.l2.packageToQueueDuration": Words(
        "time from the device to the socket's queue of what a read took",
        "time from the device to the socket's queue of what was read",
    ),
    "read.l2.rcvPackageFromQueueDuration": Words(
        "time in the socket's queue, until the reader has it", "time in the socket's queue, until the reader has it"
    ),
    **{f"protocol.{path}": words for path, words in _HTTP.items()},
    **_HTTP,
    "duration": _LATENCY,
}
"""By what a metric adds up."""

_SUCCEEDED: Final[Mapping[str, str]] = {
    "connect.success": "that succeeded",
    "close.success": "that succeeded",
    "protocol.success": "that the service did not fail",
    "success": "that the service did not fail",
}
_SIDES: Final[Mapping[str, str]] = {"CLIENT": "as the client's side reports", "SERVER": "as the server's side reports"}
_ONE_SIDED: Final[Mapping[LogKind, str]] = {LogKind.CONNECT: _SIDES["CLIENT"], LogKind.ACCEPT: _SIDES["SERVER"]}
"""Logs that one side alone can report, whatever a metric asks for."""


def meaning(definition: Definition) -> str:
    """A metric in a sentence. Raises KeyError for what has no words yet: give it some above."""
    sentence = ", ".join(part for part in (_measured(definition), _side(definition)) if part)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _measured(definition: Definition) -> str:
    function = definition.function
    which = " ".join(_restrictions(definition.conditions))
    if function is Function.PERCENT:
        return f"share of the HTTP calls {_SUCCEEDED[definition.arguments.matches[0].value.path]}"
    if function is Function.APDEX:
        return "how satisfied callers are with success and time (Apdex; 10,000 is the best)"
    (kind,) = definition.events
    if function is Function.CPM or definition.value is None:
        return f"{LOGS[kind]} {which}".rstrip()
    words = VALUES[definition.value.path]
    if function is Function.LONG_AVG:
        return f"mean {words.one} {which}".rstrip()
    if function is Function.PERCENTILE:
        return f"percentiles (50, 75, 90, 95 and 99 %) of the {words.one}"
    if function is not Function.SUM:
        raise KeyError(function.name)
    begin = "" if unit_of(definition) == PER_MINUTE else "sum of the "
    return f"{begin}{words.all} {which}".rstrip()


def _restrictions(conditions: Iterable[Condition]) -> Iterable[str]:
    bounds = {
        condition.operator: condition.literal
        for condition in conditions
        if condition.value.path.endswith("http.statusCode")
    }
    for condition in conditions:
        if condition.value.path in _SUCCEEDED:
            yield _SUCCEEDED[condition.value.path]
    if bounds:
        below = bounds[Operator.LESS]
        if not isinstance(below, int):
            raise KeyError(below)
        yield f"with a status from {bounds[Operator.AT_LEAST]} to {below - 1}"


def _side(definition: Definition) -> str:
    """Which side of a relation reports it; services, instances and endpoints report themselves."""
    if not definition.scope.endswith("Relation"):
        return ""
    for condition in definition.conditions:
        if condition.value.path == "detectPoint" and isinstance(condition.literal, Enumeration):
            return _SIDES[condition.literal.member]
    if definition.scope == "K8SEndpointRelation":  # nobody but a client knows on whose behalf it calls
        return _SIDES["CLIENT"]
    (kind,) = definition.events
    return _ONE_SIDED.get(kind, "reported by both sides and added up")
