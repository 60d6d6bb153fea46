"""Each setting once: where it stands, which variable gives it, what it may be and what it means.

docs/configuration.md and backend/config/application.yml are made from this.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Final

from backend.server.allowed import PORT, Allowed, Choice, Offset, Positive, Size, Switch, Text, Token, Whole, Words
from backend.server.settings import Settings

PREFIX: Final = "PYROVER_BACKEND_"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting."""

    path: str
    """Its place in Settings, such as "limits.message_bytes". The short form of a settings file has the same."""
    key: str
    """Its place in application.yml: MODULE.PROVIDER.NAME, or MODULE.selector."""
    allowed: Allowed
    meaning: str
    upstream: str = ""
    """The variable by which SkyWalking's application.yml sets it; empty when SkyWalking has no such setting."""
    as_default: int | None = None
    """A value that means "as the program has it", besides none at all."""

    @property
    def variable(self) -> str:
        """The variable that sets it whatever a file says."""
        return f"{PREFIX}{self.path}".replace(".", "_").upper()

    @property
    def default(self) -> object:
        """What it is when nobody sets it."""
        found: object = reduce(getattr, self.path.split("."), Settings())
        return found


_ADDRESS = Text("an address of this machine, 0.0.0.0 or :: for all of them")
_FILE = Text("the name of a file or folder")
_TOKEN = Token()

SETTINGS: Final = (
    Setting(
        "host",
        "core.default.host",
        _ADDRESS,
        "Address to listen on. Those of single ports win over it, but for those that come from an earlier place.",
    ),
    Setting("http_host", "core.default.restHost", _ADDRESS, "Address of the console and its API.", "SW_CORE_REST_HOST"),
    Setting(
        "http_port",
        "core.default.restPort",
        PORT,
        "Port of the console and its API; 0 lets the system choose.",
        "SW_CORE_REST_PORT",
    ),
    Setting("grpc_host", "core.default.gRPCHost", _ADDRESS, "Address to which agents send.", "SW_CORE_GRPC_HOST"),
    Setting(
        "grpc_port",
        "core.default.gRPCPort",
        PORT,
        "Port to which agents send; 0 lets the system choose.",
        "SW_CORE_GRPC_PORT",
    ),
    Setting(
        "http_token",
        "core.default.restAuthentication",
        _TOKEN,
        "What everybody must send as `Authorization: Bearer TOKEN` who asks anything over HTTP, on every port: the"
        " console, the API, GraphQL, PromQL, `/metrics`, and who reloads. `/healthcheck` is open. Empty to ask for"
        " nothing ([security.md](security.md)).",
    ),
    Setting(
        "http_token_file",
        "core.default.restAuthenticationFile",
        _FILE,
        "A file of such tokens instead, one a line, each of which is taken; it is read again when it changes.",
    ),
    Setting(
        "http_tls.enabled",
        "core.default.restSSLEnabled",
        Switch(),
        "Whether the console's port is encrypted.",
        "SW_CORE_REST_SSL_ENABLED",
    ),
    Setting(
        "http_tls.key",
        "core.default.restSSLKeyPath",
        _FILE,
        "Private key of that port, in PEM, without a password.",
        "SW_CORE_REST_SSL_KEY_PATH",
    ),
    Setting(
        "http_tls.certificate",
        "core.default.restSSLCertChainPath",
        _FILE,
        "Certificate that it shows, in PEM, with those above it.",
        "SW_CORE_REST_SSL_CERT_CHAIN_PATH",
    ),
    Setting(
        "http_tls.authorities",
        "core.default.restSSLTrustedCAsPath",
        _FILE,
        "Authorities, in PEM, one of which must vouch for the certificate of each who asks that port (mutual TLS);"
        " empty to ask for no certificate.",
    ),
    Setting(
        "grpc_tls.enabled",
        "core.default.gRPCSslEnabled",
        Switch(),
        "Whether the ports of agents are encrypted, all of them.",
        "SW_CORE_GRPC_SSL_ENABLED",
    ),
    Setting(
        "grpc_tls.key",
        "core.default.gRPCSslKeyPath",
        _FILE,
        "Private key of those ports, in PEM, without a password.",
        "SW_CORE_GRPC_SSL_KEY_PATH",
    ),
    Setting(
        "grpc_tls.certificate",
        "core.default.gRPCSslCertChainPath",
        _FILE,
        "Certificate that they show, in PEM, with those above it.",
        "SW_CORE_GRPC_SSL_CERT_CHAIN_PATH",
    ),
    Setting(
        "share_ports",
        "core.default.sharePorts",
        Switch(),
        "Let other backends of this machine and user listen on the same ports; the kernel spreads connections.",
    ),
    Setting(
        "limits.message_bytes",
        "core.default.maxMessageSize",
        Whole(0),
        "Largest message, in bytes; 0 for the default.",
        "SW_CORE_GRPC_MAX_MESSAGE_SIZE",
        as_default=0,
    ),
    Setting(
        "limits.buffered_bytes",
        "core.default.bufferedBytes",
        Whole(1),
        "Most bytes that all calls hold together.",
    ),
    Setting(
        "limits.waiting_logs", "core.default.waitingLogs", Whole(1), "Most logs that wait to be analysed and stored."
    ),
    Setting(
        "limits.waiting_bytes",
        "core.default.waitingBytes",
        Whole(1),
        "Most bytes of columns that wait to be analysed and stored.",
    ),
    Setting(
        "limits.journal_bytes",
        "core.default.journalBytes",
        Whole(0),
        "Most bytes of the journal, to which logs are written while DuckDB is slow, so that they are answered before"
        " they are stored; 0 for none.",
    ),
    Setting(
        "times.retention_days",
        "core.default.metricsDataTTL",
        Positive(),
        "Days for which values by the minute are kept. Older logs are dropped and counted.",
        "SW_CORE_METRICS_DATA_TTL",
    ),
    Setting(
        "times.retention_days_of_hours",
        "core.default.hourDataTTL",
        Positive(),
        "Days for which values by the hour are kept; never shorter than those by the minute.",
    ),
    Setting(
        "times.retention_days_of_days",
        "core.default.dayDataTTL",
        Positive(),
        "Days for which values by the day are kept; never shorter than those by the hour.",
    ),
    Setting(
        "times.retention_days_of_metadata",
        "core.default.metadataTTL",
        Positive(),
        "Days after which a service, instance, endpoint or relation is forgotten that was not seen again.",
    ),
    Setting(
        "times.clock_difference_seconds",
        "core.default.clockDifference",
        Positive(),
        "Seconds; logs that are further ahead of this machine's clock are dropped and counted.",
    ),
    Setting(
        "times.shutdown_seconds",
        "core.default.shutdownSeconds",
        Positive(),
        "Seconds that open calls get to finish when the backend stops.",
    ),
    Setting(
        "times.journal_after_seconds",
        "core.default.journalAfter",
        Positive(),
        "Seconds that a flush takes from which on what comes is written to the journal, and stored in larger flushes.",
    ),
    Setting(
        "times.zone",
        "core.default.timeZone",
        Offset(),
        "Clock by which GraphQL is asked: its days begin and end by it.",
    ),
    Setting(
        "names.service",
        "core.default.serviceNameMaxLength",
        Whole(1),
        "Longest name of a service, in characters; longer ones are cut.",
        "SW_SERVICE_NAME_MAX_LENGTH",
    ),
    Setting(
        "names.instance",
        "core.default.instanceNameMaxLength",
        Whole(1),
        "Longest name of an instance.",
        "SW_INSTANCE_NAME_MAX_LENGTH",
    ),
    Setting(
        "names.endpoint",
        "core.default.endpointNameMaxLength",
        Whole(1),
        "Longest name of an endpoint.",
        "SW_ENDPOINT_NAME_MAX_LENGTH",
    ),
    Setting(
        "files.oal",
        "core.default.oalPath",
        _FILE,
        "Scripts (*.oal) beside the standard ones; one of the same name takes the place of a standard one. Read"
        " again at a reload.",
    ),
    Setting(
        "files.apdex_thresholds",
        "core.default.apdexThresholds",
        _FILE,
        "Apdex thresholds by service, as service-apdex-threshold.yml of SkyWalking. Read again at a reload.",
    ),
    Setting(
        "files.dashboards",
        "core.default.dashboards",
        _FILE,
        "Dashboards (*.yml) beside the standard ones; one of the same name takes the place of a standard one. Read"
        " again at a reload.",
    ),
    Setting(
        "files.endpoint_groups",
        "core.default.endpointNameGrouping",
        _FILE,
        "Rules that group endpoints, as endpoint-name-grouping.yml of SkyWalking. Read again at a reload.",
    ),
    Setting(
        "files.addresses",
        "core.default.addresses",
        _FILE,
        "A table from addresses to services ([addresses.md](addresses.md)). Read again at a reload.",
    ),
    Setting(
        "files.alarms",
        "core.default.alarmSettings",
        _FILE,
        "Alarm rules and hooks, as alarm-settings.yml of SkyWalking ([alarms.md](alarms.md)), instead of the standard"
        " ones. Read again at a reload.",
    ),
    Setting(
        "compatibility.sums_per_step",
        "core.default.sumsPerStep",
        Switch(),
        "Metrics that are sums but are named `..._cpm` give the total of an hour or a day, as SkyWalking does, instead"
        " of calls per minute.",
    ),
    Setting(
        "compatibility.empty_rates_are_zero",
        "core.default.emptyRatesAreZero",
        Switch(),
        "A rate of nothing to nothing is 0, as in SkyWalking, instead of no value.",
    ),
    Setting(
        "compatibility.zeros_are_values",
        "core.default.zerosAreValues",
        Switch(),
        "Stages that a call did not take count as 0 in averages, as SkyWalking does, instead of not at all.",
    ),
    Setting(
        "store.kind", "storage.selector", Choice(("duckdb", "clickhouse")), "Where metrics are kept.", "SW_STORAGE"
    ),
    Setting(
        "data",
        "storage.duckdb.folder",
        _FILE,
        "Folder of the store; made if it does not exist. Empty: `/var/lib/pyrover` for root, else"
        " `~/.local/share/pyrover`.",
    ),
    Setting(
        "store.duckdb_memory",
        "storage.duckdb.memory",
        Size(),
        "Most memory that DuckDB may use; what does not fit goes to files.",
    ),
    Setting("store.clickhouse_host", "storage.clickhouse.host", Text("a host"), "Host of a ClickHouse server."),
    Setting("store.clickhouse_port", "storage.clickhouse.port", Whole(1, 65_535), "Its port for native clients."),
    Setting(
        "store.clickhouse_database", "storage.clickhouse.database", Text("a name"), "Its database; made if missing."
    ),
    Setting("store.clickhouse_user", "storage.clickhouse.user", Text("a name"), "User there."),
    Setting("store.clickhouse_password", "storage.clickhouse.password", Text(), "Password of the user."),
    Setting(
        "store.clickhouse_cluster",
        "storage.clickhouse.cluster",
        Text("a name"),
        "Cluster over whose shards the tables are spread; empty for one server.",
    ),
    Setting(
        "receivers.sharing_host",
        "receiver-sharing-server.default.gRPCHost",
        _ADDRESS,
        "Address of the next.",
        "SW_RECEIVER_GRPC_HOST",
    ),
    Setting(
        "receivers.sharing_port",
        "receiver-sharing-server.default.gRPCPort",
        PORT,
        "A further port to which agents may send; 0 for none.",
        "SW_RECEIVER_GRPC_PORT",
    ),
    Setting(
        "token",
        "receiver-sharing-server.default.authentication",
        _TOKEN,
        "What agents must send as the metadata `authentication`, on every port, and who reloads where `http_token` is"
        " empty; empty to ask for nothing.",
        "SW_AUTHENTICATION",
    ),
    Setting(
        "token_file",
        "receiver-sharing-server.default.authenticationFile",
        _FILE,
        "A file of such tokens instead, one a line, each of which is taken; it is read again when it changes.",
    ),
    Setting(
        "grpc_tls.authorities",
        "receiver-sharing-server.default.gRPCSslTrustedCAsPath",
        _FILE,
        "Authorities, in PEM, one of which must vouch for the certificate of each agent (mutual TLS), on every port of"
        " agents; the console's port then takes no agents. Empty to ask for no certificate.",
        "SW_RECEIVER_GRPC_SSL_TRUSTED_CAS_PATH",
    ),
    Setting(
        "receivers.ebpf_host", "receiver-ebpf.default.gRPCHost", _ADDRESS, "Address of the next.", "SW_EBPF_GRPC_HOST"
    ),
    Setting(
        "receivers.ebpf_port",
        "receiver-ebpf.default.gRPCPort",
        PORT,
        "A further port to which agents may send; 0 for none.",
        "SW_EBPF_GRPC_PORT",
    ),
    Setting(
        "entities.excluded_namespaces",
        "receiver-ebpf.default.excludeNamespaces",
        Words(),
        "Kubernetes namespaces whose services count for nothing, on both ends.",
    ),
    Setting(
        "entities.ignore_same_service",
        "receiver-ebpf.default.ignoreSameService",
        Switch(),
        "Connections between two ends of one service count for nothing, as in SkyWalking; otherwise for the service"
        " and its instances.",
    ),
    Setting(
        "kubernetes.watch",
        "receiver-ebpf.default.kubernetes",
        Choice(("auto", "always", "never")),
        "Whether the pods, services, endpoint slices and nodes of a cluster are watched, so that addresses get their"
        " names. auto: where this program runs in a pod that may, and where a kubeconfig file is named.",
    ),
    Setting(
        "kubernetes.kubeconfig",
        "receiver-ebpf.default.kubeconfig",
        _FILE,
        "A kubeconfig file, to watch a cluster from outside of it.",
    ),
    Setting(
        "kubernetes.context",
        "receiver-ebpf.default.kubernetesContext",
        Text("a name"),
        "The context of that file; empty for the current one.",
    ),
    Setting(
        "kubernetes.cluster",
        "receiver-ebpf.default.kubernetesCluster",
        Text("a name"),
        "The name by which nodes know that cluster; empty where it is the only one whose nodes send.",
    ),
    Setting(
        "prometheus.kind",
        "telemetry.selector",
        Choice(("none", "prometheus")),
        "Whether Prometheus gets a port of its own. `/metrics` is on the console's port either way.",
        "SW_TELEMETRY",
    ),
    Setting(
        "prometheus.host",
        "telemetry.prometheus.host",
        _ADDRESS,
        "Address of that port.",
        "SW_TELEMETRY_PROMETHEUS_HOST",
    ),
    Setting(
        "prometheus.port",
        "telemetry.prometheus.port",
        PORT,
        "That port; 0 lets the system choose.",
        "SW_TELEMETRY_PROMETHEUS_PORT",
    ),
    Setting(
        "promql_host",
        "promql.default.restHost",
        _ADDRESS,
        "Address of the next.",
        "SW_PROMQL_REST_HOST",
    ),
    Setting(
        "promql_port",
        "promql.default.restPort",
        PORT,
        "A further port on which everything is answered that the console's port answers, PromQL among it; SkyWalking's"
        " is 9090, 0 for none.",
        "SW_PROMQL_REST_PORT",
    ),
    Setting(
        "otlp.endpoint",
        "otlp-exporter.default.endpoint",
        Text("an address such as http://collector:4318"),
        "Where the values of metrics are sent to by OTLP over HTTP, each minute once it is over; empty for nowhere.",
    ),
    Setting(
        "otlp.metrics",
        "otlp-exporter.default.metrics",
        Text("a regular expression of RE2"),
        "Which metrics are sent: those whose whole name matches.",
    ),
)

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
BY_PATH: Final = {setting.path: setting for setting in SETTINGS}
ADDRESSES: Final = tuple(setting.path for setting in SETTINGS if setting.allowed is _ADDRESS and setting.path != "host")
"""Addresses of single ports; where they are empty, `host` is meant."""
