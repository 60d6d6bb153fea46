"""Services in a store, rules about them, and what an engine makes of both."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from backend.alarms.loading import AlarmSettings, load
from backend.entities.ids import service_id
from backend.oal.loader import load as load_metrics
from backend.query.catalog import Catalog
from backend.storage.interface import Flush, MetricSchema, Service, Storage

DEFINITIONS = load_metrics(skip_unsupported=True).definitions
CATALOG = Catalog(DEFINITIONS)
MINUTE = 30_000_000
"""A minute since 1970-01-01 UTC, in 2027."""
LAYER = "K8S_SERVICE"
CPM, TIME, RATE = (f"kubernetes_service_http_call_{name}" for name in ("cpm", "time", "successful_rate"))
API, WEB = service_id("api"), service_id("web")
NANOSECONDS = 1_000_000
"""In a millisecond."""

Row = tuple[str, str, str, int, int, int]
"""Of MetricSchema."""


def settings(folder: Path, text: str) -> AlarmSettings:
    """The settings that a text is."""
    file = folder / "alarms.yml"
    file.write_text(text)
    return load(file, CATALOG)


def rule(expression: str, name: str = "busy_rule", **fields: object) -> str:
    """A file with one rule."""
    lines = [f"    {key.replace('_', '-')}: {value}" for key, value in fields.items()]
    return "\n".join([f'rules:\n  {name}:\n    expression: "{expression}"', *lines, ""])


def write(storage: Storage, rows: Iterable[Row], writer: str = "w", services: Mapping[str, str] | None = None) -> None:
    """Write rows of metrics, and the services of ids by name."""
    known = {"api": API, "web": WEB} if services is None else services
    storage.write(
        Flush(
            writer,
            pl.DataFrame(list(rows), schema=MetricSchema, orient="row"),
            [Service(identity, name, LAYER, MINUTE, MINUTE) for name, identity in known.items()],
        )
    )


def calls(storage: Storage, entity: str, by_minute: Mapping[int, int], writer: str = "w") -> None:
    """Calls of a service, by minutes after MINUTE."""
    write(
        storage,
        [(CPM, "", entity, MINUTE + minute, number, 0) for minute, number in by_minute.items()],
        f"{writer}-{entity}-{min(by_minute)}",
    )
