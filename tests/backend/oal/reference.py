"""A second opinion on metrics: slow, one log and one metric at a time, and sharing no code with the product.

It reads the table of expected metrics, not the scripts, and the wire, not the sources.
"""

import base64
import csv
import operator
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backend.ingest.batch import Address, Connection, LogBatch

TABLE = Path(__file__).with_name("expected_metrics.tsv")
KINDS = {1: "connect", 2: "accept", 3: "close", 4: "read", 5: "write", 6: "protocol"}
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
MILLISECOND = 1_000_000


@dataclass(frozen=True)
class Row:
    metric: str
    scope: str
    value: str
    function: str
    arguments: str
    filters: tuple[str, ...]


def table() -> list[Row]:
    with TABLE.open() as file:
        return [
            Row(
                row["metric"],
                row["scope"],
                row["value"],
                row["function"],
                row["arguments"],
                tuple(part.strip() for part in row["filters"].split(" ; ") if part),
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


# What an attribute is called on the wire, where this is not "total" and its own name.
WIRE = {
    "rcvDuration": "totalRecvDuration",
    "totalPackageSize": "totalPackageSize",
    "transmitPackageCount": "totalTransmitPackageCount",
    "networkDeviceSendDuration": "totalNetDeviceSendDuration",
}
SIZES = {
    "sizeOfRequestHeader": "http.request.sizeOfHeadersBytes",
    "sizeOfRequestBody": "http.request.sizeOfBodyBytes",
    "sizeOfResponseHeader": "http.response.sizeOfHeadersBytes",
    "sizeOfResponseBody": "http.response.sizeOfBodyBytes",
}
COMPARED = {">=": operator.ge, "<": operator.lt}


def encode(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def names(address: Address) -> tuple[str, str]:
    return (address.service, address.instance) if address.service else ("Unknown", "Unknown")


def entity(scope: str, connection: Connection) -> str | None:
    local, remote = names(connection.local), names(connection.remote)
    if local[0] == remote[0] == "Unknown":
        return None
    ends = (remote, local) if connection.role == 1 else (local, remote)
    services = [encode(service) + ".1" for service, _ in ends]
    instances = [f"{service}_{encode(instance)}" for service, (_, instance) in zip(services, ends, strict=True)]
    match scope:
        case "K8SService":
            return None if local[0] == "Unknown" else encode(local[0]) + ".1"
        case "K8SServiceInstance":
            return None if local[0] == "Unknown" or not local[1] else f"{encode(local[0])}.1_{encode(local[1])}"
        case "K8SServiceRelation":
            return "-".join(services) if services[0] != services[1] else None
        case "K8SServiceInstanceRelation":
            return "-".join(instances) if ends[0][1] and ends[1][1] else None
    raise ValueError(scope)


def entity_of(scope: str, log: "Log") -> str | None:
    if scope != "K8SEndpoint":
        return entity(scope, log.connection)
    service, _ = names(log.connection.local)
    if log.kind != "protocol" or log.connection.role == 0 or service == "Unknown":
        return None
    return f"{encode(service)}.1_{encode(log.endpoint)}"


class Log:
    def __init__(self, batch: LogBatch, index: int) -> None:
        self.connection = batch.connections[batch.connection[index]]
        self.kind = KINDS[int(batch.kind[index])]
        self.minute = int(batch.minute[index])
        self.duration = int(batch.duration_ns[index])
        self.columns = {name: int(values[index]) for name, values in batch.columns.items()}
        self.is_call = self.kind != "protocol" or not self.columns["http.isContinued"]
        self.success = 100 <= self.columns["http.response.statusCode"] < 500 and self.columns[
            "http.response.grpcStatus"
        ] not in {2, 4, 12, 13, 14, 15}
        number = self.columns["http.request.method"]
        method = METHODS[number] if 0 <= number < len(METHODS) else "UNRECOGNIZED"
        method = batch.texts[self.columns["http.request.methodName"]].upper() or method
        path = batch.texts[self.columns["http.request.path"]].split("?")[0].split("#")[0]
        self.endpoint = f"{method}:{path}"[:150]

    def passes(self, text: str) -> bool:
        if self.kind == "protocol":
            if text in {'protocol.type == "http"', 'type == "http"'}:
                return True
            if text in {"protocol.success == true", "success == true"}:
                return self.success
            if "http.statusCode" in text:
                _, comparison, literal = text.split()
                return bool(COMPARED[comparison](self.columns["http.response.statusCode"], int(literal)))
        if text.startswith("detectPoint"):
            return text == f"detectPoint == DetectPoint.{self.connection.role.name}"
        if text == "connect.success == true":
            return self.kind == "connect" and self.columns["connect.success"] == 1
        return text == f'type == "{self.kind}"'

    def value(self, attribute: str, *, zeros_are_values: bool) -> int | None:
        """The value, or None for one that was not measured."""
        parts = attribute.split(".")
        if self.kind == "protocol":
            if parts[-1] in SIZES:
                return self.columns[SIZES[parts[-1]]]
            assert parts[-1] in {"latency", "duration"}
            return self.duration if self.is_call and not self.columns["http.slice"] else None
        if len(parts) == 2:
            assert parts == [self.kind, "duration"]
            return self.duration
        kind, layer, name = parts
        stage = f"{kind}.{layer}Metrics."
        wire = stage + WIRE.get(name, "total" + name[0].upper() + name[1:])
        value = self.columns[wire]
        for counted in ("resolveMAC", "netFilter"):
            if name == counted + "Duration" and not self.columns[wire.removesuffix("Duration") + "Count"]:
                value = 0
        if zeros_are_values:
            return value
        if name.lower().endswith("duration"):
            return value or None
        measured = any(number for column, number in self.columns.items() if column.startswith(stage))
        return value if measured else None

    def adds(self, row: Row, *, zeros_are_values: bool) -> tuple[str, int, int] | None:
        """What the log adds to a metric that it passes the filters of: a suffix of its name, summation and count."""
        if row.function in {"cpm", "percent", "apdex"}:
            return ("", *self.counted(row)) if self.is_call else None
        value = self.value(row.value, zeros_are_values=zeros_are_values)
        if value is None:
            return None
        if row.function == "percentile2":
            return f":{bucket(value // MILLISECOND)}", 1, 0
        return "", value, row.function == "longAvg" and self.is_call

    def counted(self, row: Row) -> tuple[int, int]:
        """What a call adds to a metric that counts calls."""
        if row.function == "cpm":
            return 1, 0
        if row.function == "percent":
            return int(self.passes(row.arguments)), 1
        latency = self.value(row.value, zeros_are_values=False)
        if latency is None or not self.success:
            return 0, 1
        return 2 if latency <= 500 * MILLISECOND else 1 if latency <= 2_000 * MILLISECOND else 0, 1


def bucket(value: int) -> int:
    """Of one number each below 64; then 32 for each further bit."""
    further = max(value.bit_length() - 6, 0)
    return value if not further else 64 + 32 * (further - 1) + value // 2**further - 32


def evaluate(
    batches: Iterable[LogBatch], rows: Iterable[Row], *, zeros_are_values: bool = False
) -> dict[tuple[str, str, int], tuple[int, int]]:
    """(summation, count) by (metric, entity, minute)."""
    found: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    rows = list(rows)
    for batch in batches:
        for index in range(len(batch)):
            log = Log(batch, index)
            for row in rows:
                if not all(log.passes(text) for text in row.filters):
                    continue
                identifier = entity_of(row.scope, log)
                if identifier is None:
                    continue
                added = log.adds(row, zeros_are_values=zeros_are_values)
                if added is None:
                    continue
                suffix, summation, count = added
                key = (row.metric + suffix, identifier, log.minute)
                found[key][0] += summation
                found[key][1] += count
    return {key: (summation, count) for key, (summation, count) in found.items()}
