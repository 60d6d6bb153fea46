"""A second opinion on metrics: slow, one log and one metric at a time, and sharing no code with the product.

It reads the table of expected metrics, not the scripts, and the wire, not the sources.
"""

import base64
import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backend.ingest.batch import Address, Connection, LogBatch

TABLE = Path(__file__).with_name("expected_metrics.tsv")
KINDS = {1: "connect", 2: "accept", 3: "close", 4: "read", 5: "write"}


@dataclass(frozen=True)
class Row:
    metric: str
    scope: str
    value: str
    function: str
    filters: tuple[str, ...]


def table() -> list[Row]:
    with TABLE.open() as file:
        return [
            Row(
                row["metric"],
                row["scope"],
                row["value"],
                row["function"],
                tuple(part.strip() for part in row["filters"].split(" ; ")),
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


class Log:
    def __init__(self, batch: LogBatch, index: int) -> None:
        self.connection = batch.connections[batch.connection[index]]
        self.kind = KINDS[int(batch.kind[index])]
        self.minute = int(batch.minute[index])
        self.duration = int(batch.duration_ns[index])
        self.columns = {name: int(values[index]) for name, values in batch.columns.items()}

    def passes(self, text: str) -> bool:
        if text.startswith("detectPoint"):
            return text == f"detectPoint == DetectPoint.{self.connection.role.name}"
        if text == "connect.success == true":
            return self.kind == "connect" and self.columns["connect.success"] == 1
        return text == f'type == "{self.kind}"'

    def value(self, attribute: str, *, zeros_are_values: bool) -> int | None:
        """The value, or None for one that was not measured."""
        parts = attribute.split(".")
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
            return value if self.columns[wire] else None
        measured = any(number for column, number in self.columns.items() if column.startswith(stage))
        return value if measured else None


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
                identifier = entity(row.scope, log.connection)
                if identifier is None:
                    continue
                key = (row.metric, identifier, log.minute)
                if row.function == "cpm":
                    found[key][0] += 1
                    continue
                value = log.value(row.value, zeros_are_values=zeros_are_values)
                if value is not None:
                    found[key][0] += value
                    found[key][1] += row.function == "longAvg"
    return {key: (summation, count) for key, (summation, count) in found.items()}
