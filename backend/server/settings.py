"""Everything that can be set, in the shape in which the backend uses it.

`declarations.py` says of each setting where it is written and what it may be, `loading.py` reads it from there.
"""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from backend.entities.names import NameLimits
from backend.ingest.budget import DEFAULT_BUDGET
from backend.ingest.framing import DEFAULT_MESSAGE_LIMIT
from backend.ingest.stream import Period
from backend.metrics import windows
from backend.query.mqe.duration import parse_offset
from backend.storage.interface import Precision, Retention

STORE = "metrics.duckdb"
"""Name of the DuckDB store's file in its folder."""
JOURNAL = "journal"
"""Name of the journal's folder beside it."""


class SettingsError(Exception):
    """A setting is wrong; the message names where it stands, the setting, its value and what it may be."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of what is taken in."""

    message_bytes: int = DEFAULT_MESSAGE_LIMIT
    buffered_bytes: int = DEFAULT_BUDGET
    waiting_logs: int = 1_000_000
    waiting_bytes: int = 512 * 1024 * 1024
    journal_bytes: int = 0


class Times(msgspec.Struct, frozen=True):
    """The times that are believed, and those that the backend takes."""

    retention_days: float = 7.0
    retention_days_of_hours: float = 15.0
    retention_days_of_days: float = 15.0
    retention_days_of_metadata: float = 7.0
    clock_difference_seconds: float = 300.0
    shutdown_seconds: float = 10.0
    journal_after_seconds: float = 0.25
    zone: str = "+0000"


class Names(msgspec.Struct, frozen=True):
    """Longest names, in characters."""

    service: int = 70
    instance: int = 70
    endpoint: int = 150


class Files(msgspec.Struct, frozen=True):
    """Files that are read at the start and whenever the backend is told to reload. Empty for none."""

    oal: str = ""
    apdex_thresholds: str = ""
    endpoint_groups: str = ""
    addresses: str = ""
    alarms: str = ""
    dashboards: str = ""


class Store(msgspec.Struct, frozen=True):
    """Where metrics are kept."""

    kind: str = "duckdb"
    duckdb_memory: str = "1GB"
    clickhouse_host: str = "127.0.0.1"
    clickhouse_port: int = 9000
    clickhouse_database: str = "pyrover"
    clickhouse_user: str = "default"
    clickhouse_password: str = ""
    clickhouse_cluster: str = ""


class Tls(msgspec.Struct, frozen=True):
    """How ports are encrypted; files in PEM."""

    enabled: bool = False
    certificate: str = ""
    key: str = ""
    authorities: str = ""


class Receivers(msgspec.Struct, frozen=True):
    """Further ports on which agents may send; 0 for none."""

    ebpf_host: str = ""
    ebpf_port: int = 0
    sharing_host: str = ""
    sharing_port: int = 0


class Prometheus(msgspec.Struct, frozen=True):
    """A port of its own for Prometheus."""

    kind: str = "none"
    host: str = ""
    port: int = 1234


class Otlp(msgspec.Struct, frozen=True):
    """A receiver of OTLP that metrics are sent to; nowhere if the endpoint is empty."""

    endpoint: str = ""
    metrics: str = ".*"


class Entities(msgspec.Struct, frozen=True):
    """Which services there are."""

    excluded_namespaces: tuple[str, ...] = ()
    ignore_same_service: bool = False


class Kubernetes(msgspec.Struct, frozen=True):
    """The cluster whose addresses are known."""

    watch: str = "auto"
    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""


class Compatibility(msgspec.Struct, frozen=True):
    """Where SkyWalking's answers differ from what a metric's name says, its answers instead."""

    sums_per_step: bool = False
    empty_rates_are_zero: bool = False
    zeros_are_values: bool = False


class Settings(msgspec.Struct, frozen=True):
    """All of it."""

    host: str = "0.0.0.0"  # noqa: S104 - agents on other machines send here, as to SkyWalking's backend
    grpc_host: str = ""
    grpc_port: int = 11800
    http_host: str = ""
    http_port: int = 12800
    promql_host: str = ""
    promql_port: int = 0
    """A further port for questions, where clients of SkyWalking's PromQL service ask; 0 for none."""
    share_ports: bool = False
    data: str = ""
    token: str = ""
    token_file: str = ""
    http_token: str = ""
    http_token_file: str = ""
    grpc_tls: Tls = Tls()
    http_tls: Tls = Tls()
    limits: Limits = Limits()
    times: Times = Times()
    names: Names = Names()
    files: Files = Files()
    store: Store = Store()
    receivers: Receivers = Receivers()
    prometheus: Prometheus = Prometheus()
    otlp: Otlp = Otlp()
    entities: Entities = Entities()
    kubernetes: Kubernetes = Kubernetes()
    compatibility: Compatibility = Compatibility()

    @property
    def folder(self) -> Path:
        """Folder of the store."""
        return Path(self.data) if self.data else usual_folder()

    @property
    def store_url(self) -> str:
        """Where the store is, as backend/storage/opening.py reads it."""
        store = self.store
        if store.kind == "duckdb":
            return f"duckdb:{self.folder / STORE}"
        user, password = quote(store.clickhouse_user, safe=""), quote(store.clickhouse_password, safe="")
        host = f"[{store.clickhouse_host}]" if ":" in store.clickhouse_host else store.clickhouse_host
        url = f"clickhouse://{user}:{password}@{host}:{store.clickhouse_port}/{quote(store.clickhouse_database)}"
        return f"{url}?{urlencode({'cluster': store.clickhouse_cluster})}" if store.clickhouse_cluster else url

    @property
    def period(self) -> Period:
        """The times that are believed."""
        return Period(
            retention=timedelta(days=self.times.retention_days),
            clock_difference=timedelta(seconds=self.times.clock_difference_seconds),
        )

    @property
    def retention(self) -> Retention:
        """How long the store keeps what. Longer steps are kept at least as long as shorter ones."""
        times = self.times
        minutes = round(times.retention_days * Precision.DAY)
        hours = max(minutes, round(times.retention_days_of_hours * Precision.DAY))
        days = max(hours, round(times.retention_days_of_days * Precision.DAY))
        return Retention(minutes, hours, days, round(times.retention_days_of_metadata * Precision.DAY))

    @property
    def reading(self) -> windows.Compatibility:
        """What stored values are read as."""
        chosen = self.compatibility
        return windows.Compatibility(chosen.sums_per_step, chosen.empty_rates_are_zero)

    @property
    def zone_minutes(self) -> int:
        """Minutes that the clocks of those who ask are ahead of UTC."""
        return parse_offset(self.times.zone)

    @property
    def name_limits(self) -> NameLimits:
        """Longest names."""
        return NameLimits(self.names.service, self.names.instance, self.names.endpoint)


def usual_folder() -> Path:
    """/var/lib/pyrover for root, else pyrover in the user's folder for data (XDG base directories)."""
    if os.geteuid() == 0:
        return Path("/var/lib/pyrover")
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "pyrover"
