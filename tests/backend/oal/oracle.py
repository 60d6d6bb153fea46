"""What random metrics must be: one log at a time, values kept whole until they are read, no code of the product.

A metric is drawn as data and written as a script; the value of each step is computed from the list of its logs.
"""

import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from backend.ingest.batch import LogBatch
from tests.backend.oal import reference

Literal = bool | int | float | str | None | tuple[int, ...] | tuple[str, ...] | tuple[float, ...]
Read = bool | int | str | Fraction | list[int] | None

SYSCALLS = {
    "read": ["Read", "Readv", "Recv", "RecvFrom", "RecvMsg", "RecvMmsg"],
    "write": ["Write", "Writev", "Send", "SendTo", "SendMsg", "SendMmsg", "SendFile", "SendFile64"],
}
METHODS = ["Get", "Post", "Put", "Delete", "Head", "Patch", "Options", "Trace", "Connect"]
COMPONENTS = {0: (110, 130), 1: (49, 129), 2: (49, 129)}


class Log(reference.Log):
    def __init__(self, batch: LogBatch, index: int) -> None:
        super().__init__(batch, index)
        self.texts = batch.texts

    def text(self, column: str) -> str:
        return self.texts[self.columns[column]]

    def names(self, end: str) -> tuple[str, str]:
        local, remote = reference.names(self.connection.local), reference.names(self.connection.remote)
        if end == "local":
            return local
        return remote if (end == "source") is (self.connection.role == 1) else local


@dataclass(frozen=True)
class Attribute:
    kind: str
    read: Callable[[Log], Read]
    event: str | None = None
    """None for what logs of all events have."""


def measured(path: str) -> Attribute:
    return Attribute("number", lambda log: log.value(path, zeros_are_values=False), path.split(".", maxsplit=1)[0])


def milliseconds(log: Log) -> Fraction | None:
    nanoseconds = log.value("protocol.http.latency", zeros_are_values=False)
    return None if nanoseconds is None else Fraction(nanoseconds, 10**6)


def method(log: Log) -> str:
    number = log.columns["http.request.method"]
    named = METHODS[number] if 0 <= number < len(METHODS) else "UNRECOGNIZED"
    return log.text("http.request.methodName") or named


def components(log: Log) -> list[int]:
    known = COMPONENTS.get(log.connection.protocol)
    return [known[log.connection.tls]] if known else []


def syscall(event: str) -> Attribute:
    def read(log: Log) -> str | None:
        number = log.columns[f"{event}.syscall"]
        return SYSCALLS[event][number] if number < len(SYSCALLS[event]) else None

    return Attribute("string", read, event)


def http(kind: str, read: Callable[[Log], Read]) -> Attribute:
    return Attribute(kind, read, "protocol")


HTTP = {
    "http.latency": http("number", milliseconds),
    "http.statusCode": http("number", lambda log: log.columns["http.response.statusCode"]),
    "http.sizeOfResponseBody": http("number", lambda log: log.columns["http.response.sizeOfBodyBytes"]),
    "http.method": http("string", method),
    "http.host": http("string", lambda log: log.text("http.request.host")),
    "http.url": http("string", lambda log: log.text("http.request.path")),
    "http.version": http("string", lambda log: ["HTTP1", "HTTP2"][log.columns["http.version"]]),
}
ROLE = Attribute("enumeration", lambda log: log.connection.role.name)
BODY = {
    "type": Attribute("type", lambda log: log.kind),
    "detectPoint": ROLE,
    **{f"{event}.duration": measured(f"{event}.duration") for event in ("connect", "accept", "close", "read", "write")},
    "write.l4.duration": measured("write.l4.duration"),
    "write.l4.totalPackageSize": measured("write.l4.totalPackageSize"),
    "write.l3.netFilterDuration": measured("write.l3.netFilterDuration"),
    "read.l2.packageCount": measured("read.l2.packageCount"),
    "connect.success": Attribute("boolean", lambda log: log.columns["connect.success"] == 1, "connect"),
    "close.success": Attribute("boolean", lambda log: log.columns["close.success"] == 1, "close"),
    "read.syscall": syscall("read"),
    "write.syscall": syscall("write"),
    "protocol.success": http("boolean", lambda log: log.success),
    **{f"protocol.{name}": attribute for name, attribute in HTTP.items()},
}
CALL = {
    "type": Attribute("type", lambda _: "http", "protocol"),
    "success": http("boolean", lambda log: log.success),
    "duration": HTTP["http.latency"],
    **HTTP,
}


def named(end: str, place: int) -> Attribute:
    return Attribute("string", lambda log: log.names(end)[place] or (None if end != "local" else ""))


ENDS = {
    "sourceServiceName": named("source", 0),
    "destServiceName": named("destination", 0),
    "componentIds": Attribute("list", components),
    "tlsMode": Attribute("string", lambda log: "TLS" if log.connection.tls else "Plain"),
}
INSTANCES = {"sourceServiceInstanceName": named("source", 1), "destServiceInstanceName": named("destination", 1)}
SOURCES: dict[str, dict[str, Attribute]] = {
    "K8SService": {"name": named("local", 0), **BODY},
    "K8SServiceInstance": {"serviceName": named("local", 0), **BODY},
    "K8SServiceRelation": {**ENDS, **BODY},
    "K8SServiceInstanceRelation": {**ENDS, **INSTANCES, **BODY},
    "K8SEndpoint": {"serviceName": named("local", 0), **CALL},
    "K8SEndpointRelation": {**ENDS, **INSTANCES, "detectPoint": ROLE, **CALL},
}
SERVICES = {
    "K8SService": "name",
    "K8SServiceInstance": "serviceName",
    "K8SEndpoint": "serviceName",
}
"""What names the service of apdex(); relations have both ends."""

ORDER = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Operand:
    path: str
    attribute: Attribute
    cast: str = ""

    def __str__(self) -> str:
        return self.cast + self.path

    @property
    def kind(self) -> str:
        return "number" if self.cast.startswith("(str") else self.attribute.kind

    def read(self, log: Log) -> Read:
        if self.attribute.event not in {None, log.kind}:
            return None
        value = self.attribute.read(log)
        if self.cast.startswith("(str"):
            return int(value) if isinstance(value, str) and value.removeprefix("-").isdigit() else None
        return value


@dataclass(frozen=True)
class Condition:
    operand: Operand
    operator: str
    literal: Literal

    def __str__(self) -> str:
        return f"{self.operand} {self.operator} {shown(self.literal, self.operand.kind)}"

    def holds(self, log: Log) -> bool:
        value = self.operand.read(log)
        if isinstance(value, Fraction):
            value = math.floor(value)
        match self.operator:
            case "==":
                return value == self.literal
            case "!=":
                return value != self.literal
            case "in":
                return isinstance(self.literal, tuple) and value is not None and value in self.literal
            case "contain" | "not contain":
                return isinstance(value, list) and (self.literal in value) is (self.operator == "contain")
            case "like":
                text, pattern = str(value), str(self.literal)
                part = pattern.strip("%")
                first, last = text.startswith(part) and pattern[-1] == "%", text.endswith(part) and pattern[0] == "%"
                inside = pattern[0] == pattern[-1] == "%" and part in text
                return value is not None and (inside or (first and pattern[0] != "%") or (last and pattern[-1] != "%"))
            case _:
                literal: Any = self.literal
                return value is not None and ORDER[self.operator](value, literal)


def shown(literal: Literal, kind: str) -> str:
    match literal:
        case tuple():
            return f"[{', '.join(shown(member, kind) for member in literal)}]"
        case None:
            return "null"
        case bool():
            return str(literal).lower()
        case str():
            return f"DetectPoint.{literal}" if kind == "enumeration" else f'"{literal}"'
        case _:
            return str(literal)


@dataclass(frozen=True)
class Metric:
    source: str
    value: Operand | None
    filters: tuple[Condition, ...]
    function: str
    conditions: tuple[Condition, ...] = ()
    operands: tuple[Operand, ...] = ()
    numbers: tuple[int, ...] = ()

    def script(self, name: str) -> str:
        cast, value = (self.value.cast, self.value.path) if self.value else ("", "*")
        filters = "".join(f".filter({condition})" for condition in self.filters)
        arguments = ", ".join(map(str, (*self.conditions, *self.operands, *self.numbers)))
        return f"{name} = from({cast}{self.source}.{value}){filters}.{self.function}({arguments});"

    def takes(self, log: Log) -> bool:
        read = (*(each.operand for each in self.filters), *((self.value,) if self.value else ()))
        chosen = (*(each.operand for each in self.conditions), *self.operands)
        # A type that is asked in an argument says nothing of which logs there are.
        every = (*read, *(operand for operand in chosen if operand.kind != "type"))
        return all(operand.attribute.event in {None, log.kind} for operand in every) and all(
            condition.holds(log) for condition in self.filters
        )


def entity(source: str, log: Log) -> str | None:
    if source != "K8SEndpointRelation":
        return reference.entity_of(source, log)
    caller = log.text("http.callerEndpoint") if log.kind == "protocol" else ""
    ends = log.names("source")[0], log.names("destination")[0]
    if log.connection.role != 0 or not caller or "Unknown" in ends:
        return None
    source, destination = (f"{reference.encode(service)}.1" for service in ends)
    return f"{source}-{reference.encode(caller)}-{destination}-{reference.encode(log.endpoint)}"


def evaluate(
    batches: Iterable[LogBatch], metric: Metric, minutes: int, thresholds: dict[str, int]
) -> dict[tuple[str, str, int], float]:
    """Value by label, entity and first minute of the step."""
    groups: dict[tuple[str, int], list[Log]] = defaultdict(list)
    for batch in batches:
        for index in range(len(batch)):
            log = Log(batch, index)
            identifier = entity(metric.source, log)
            if identifier is not None and metric.takes(log):
                groups[identifier, log.minute // minutes * minutes].append(log)
    found = {}
    for (identifier, minute), logs in groups.items():
        for label, value in read(metric, logs, minutes, thresholds).items():
            found[label, identifier, minute] = value
    return found


def read(  # noqa: PLR0911 - one for each function
    metric: Metric, logs: list[Log], minutes: int, thresholds: dict[str, int]
) -> dict[str, float]:
    """Values by label."""
    calls = [log for log in logs if log.is_call]
    if metric.function in {"labelCount", "labelAvg"}:
        return labelled(metric, logs)
    if metric.value is not None and metric.function not in {"count", "cpm", "percent", "rate"}:
        return of_values(metric, metric.value, logs, thresholds)
    if not calls:
        return {}
    matched = [sum(condition.holds(log) for log in calls) for condition in metric.conditions]
    match metric.function:
        case "count":
            return {"": len(calls)}
        case "cpm":
            return {"": len(calls) // minutes}
        case "percent":
            return {"": matched[0] * 10_000 // len(calls)}
        case _:
            return {"": matched[0] * 10_000 // matched[1]} if matched[1] else {}


def values_of(operand: Operand, logs: list[Log]) -> tuple[list[Fraction], int]:
    """What is added up, and how many values that is: parts of a call are of one."""
    whole = operand.cast.startswith("(str")
    pairs = [(operand.read(log), log.is_call) for log in logs if log.is_call or not whole]
    known = [(Fraction(value), call) for value, call in pairs if isinstance(value, int | Fraction)]
    return [value for value, _ in known], sum(call for _, call in known)


def of_values(  # noqa: PLR0911 - one for each function
    metric: Metric, operand: Operand, logs: list[Log], thresholds: dict[str, int]
) -> dict[str, float]:
    values, count = values_of(operand, logs)
    calls, _ = values_of(operand, [log for log in logs if log.is_call])
    match metric.function:
        case "sum":
            return {"": math.trunc(sum(values))} if values else {}
        case "longAvg":
            return {"": math.trunc(sum(values) / count)} if count else {}
        case "doubleAvg":
            return {"": float(sum(values) / count)} if count else {}
        case "max" | "maxDouble" | "min" | "minDouble" if values:
            extreme = max(values) if metric.function.startswith("max") else min(values)
            return {"": float(extreme) if metric.function.endswith("Double") else math.trunc(extreme)}
        case "percentile" | "percentile2" if calls:
            ordered = sorted(max(math.floor(value), 0) for value in calls)
            found = [floored(ordered[math.ceil(len(ordered) * rank / 100) - 1]) for rank in (50, 75, 90, 95, 99)]
            labels = map(str, range(5)) if metric.function == "percentile" else ("50", "75", "90", "95", "99")
            return dict(zip(labels, map(float, found), strict=True))
        case "histogram" if calls:
            step, steps = metric.numbers
            counts = {str(number * step): 0.0 for number in range(steps + 1)}
            for value in calls:
                counts[str(min(max(math.floor(value), 0) // step, steps) * step)] += 1
            return counts
        case "apdex":
            return apdex(metric, operand, [log for log in logs if log.is_call], thresholds)
        case _:
            return {}


def apdex(metric: Metric, operand: Operand, calls: list[Log], thresholds: dict[str, int]) -> dict[str, float]:
    service, success = metric.operands
    points = 0
    for log in calls:
        value = operand.read(log)
        limit = thresholds.get(str(service.read(log)), thresholds["default"])
        if success.read(log) is True and isinstance(value, int | Fraction):
            points += 2 if value <= limit else 1 if value <= 4 * limit else 0
    return {"": points * 5_000 // len(calls)} if calls else {}


def labelled(metric: Metric, logs: list[Log]) -> dict[str, float]:
    groups: dict[str, list[Log]] = defaultdict(list)
    for log in logs:
        label = metric.operands[0].read(log)
        if isinstance(label, Fraction):
            label = math.floor(label)
        text = str(label).lower() if isinstance(label, bool) else "" if label is None else str(label)
        if text:
            groups[text].append(log)
    found: dict[str, float] = {}
    for text, of_label in groups.items():
        if metric.function == "labelCount":
            number = sum(log.is_call for log in of_label)
            found |= {text: number} if number else {}
            continue
        values, count = values_of(metric.operands[1], of_label)
        if count:
            mean = sum(values) / count
            found[text] = 1 if 0 < mean < 1 else math.trunc(mean)
    return found


def floored(value: int) -> int:
    """The smallest number that has the same six leading bits."""
    further = max(value.bit_length() - 6, 0)
    return value >> further << further
