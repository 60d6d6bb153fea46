"""Each setting once; docs/configuration.md and backend/config/application.yml are made from this."""

from typing import Final

from backend.server.allowed import PORT, Choice, Size, Switch, Text, Whole, Words
from backend.server.core_declarations import CORE
from backend.server.setting import ADDRESS, FILE, TOKEN, Setting

SETTINGS: Final = (
    *CORE,
    Setting(
        "store.kind", "storage.selector", Choice(("duckdb", "clickhouse")), "Where metrics are kept.", "SW_STORAGE"
    ),
    Setting(
        "data",
        "storage.duckdb.folder",
        FILE,
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
        ADDRESS,
        "Address of the port `receivers.sharing_port`; empty: `host`.",
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
        TOKEN,
        "What agents must send as the metadata `authentication`, on every port, and who reloads where `http_token` is"
        " empty; empty to ask for nothing.",
        "SW_AUTHENTICATION",
    ),
    Setting(
        "token_file",
        "receiver-sharing-server.default.authenticationFile",
        FILE,
        "A file of such tokens instead, one a line, each of which is taken; it is read again when it changes.",
    ),
    Setting(
        "grpc_tls.authorities",
        "receiver-sharing-server.default.gRPCSslTrustedCAsPath",
        FILE,
        "Authorities, in PEM, one of which must vouch for the certificate of each agent (mutual TLS), on every port of"
        " agents; the console's port then takes no agents. Empty to ask for no certificate.",
        "SW_RECEIVER_GRPC_SSL_TRUSTED_CAS_PATH",
    ),
    Setting(
        "receivers.ebpf_host",
        "receiver-ebpf.default.gRPCHost",
        ADDRESS,
        "Address of the port `receivers.ebpf_port`; empty: `host`.",
        "SW_EBPF_GRPC_HOST",
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
        FILE,
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
        ADDRESS,
        "Address of the port of its own; empty: `host`.",
        "SW_TELEMETRY_PROMETHEUS_HOST",
    ),
    Setting(
        "prometheus.port",
        "telemetry.prometheus.port",
        PORT,
        "The port of its own; 0 lets the system choose.",
        "SW_TELEMETRY_PROMETHEUS_PORT",
    ),
    Setting(
        "promql_host",
        "promql.default.restHost",
        ADDRESS,
        "Address of the port `promql_port`; empty: `host`.",
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
ADDRESSES: Final = tuple(setting.path for setting in SETTINGS if setting.allowed is ADDRESS and setting.path != "host")
"""Addresses of single ports; where they are empty, `host` is meant."""
