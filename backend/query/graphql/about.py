"""Questions for the server itself."""

from collections.abc import Mapping
from importlib import metadata

from backend.query.graphql.context import Context
from backend.query.graphql.questions import Answer
from backend.storage.interface import Precision, StorageError

COMPATIBLE = "10.3.0"
"""The release of Apache SkyWalking whose operations are answered: clients choose by it what they ask."""
NO_COLD_STAGE = -1


def version(_context: Context | None = None) -> str:
    """What the operations are those of, and what answers them."""
    return f"{COMPATIBLE}-pyrover-{metadata.version('pyrover')}"


def check_health(context: Context) -> dict[str, object]:
    """Whether the store answers."""
    try:
        context.sources.services.all()
    except StorageError as error:
        return {"score": 1, "details": f"the store does not answer: {error}"}
    return {"score": 0, "details": ""}


def get_time_info(context: Context) -> dict[str, object]:
    """The clock and its zone."""
    offset = context.sources.offset
    hours, minutes = divmod(abs(offset), 60)
    return {
        "timezone": f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}",
        "current_timestamp": int(context.sources.clock() * 1_000),
    }


def get_records_ttl(context: Context) -> dict[str, int]:
    """Days for which records are kept: alarms as long as metadata, others never."""
    kept = {"normal": _days(context.sources.retention.metadata)}
    names = ("trace", "zipkin_trace", "log", "browser_error_log")
    cold = {f"cold_{name}": NO_COLD_STAGE for name in ("normal", *names)}
    return kept | dict.fromkeys(names, 0) | cold


def get_metrics_ttl(context: Context) -> dict[str, int]:
    """Days for which metrics are kept."""
    retention = context.sources.retention
    kept = {
        "metadata": _days(retention.metadata),
        "minute": _days(retention.minutes),
        "hour": _days(retention.hours),
        "day": _days(retention.days),
    }
    return kept | {f"cold_{name}": NO_COLD_STAGE for name in ("minute", "hour", "day")}


def _days(minutes: int) -> int:
    return minutes // Precision.DAY


QUERIES: Mapping[str, Answer] = {
    "version": version,
    "checkHealth": check_health,
    "getTimeInfo": get_time_info,
    "getRecordsTTL": get_records_ttl,
    "getMetricsTTL": get_metrics_ttl,
}
"""By operation."""
MUTATIONS: Mapping[str, Answer] = {"version": version}
"""By operation."""
