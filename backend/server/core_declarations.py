"""The settings of the module `core`, in the order of docs/configuration.md."""

from typing import Final

from backend.server.allowed import PORT, Offset, Positive, Switch, Whole
from backend.server.setting import ADDRESS, FILE, TOKEN, Setting

DAYS: Final = 36_500
"""Most days of a retention: a hundred years, within which all times are that there are."""
SECONDS: Final = 86_400
"""Most seconds of what should be short."""

CORE: Final = (
    Setting(
        "host",
        "core.default.host",
        ADDRESS,
        "Address to listen on, of every port that has none of its own. One of its own wins, unless it comes from an"
        " earlier place of the five above.",
    ),
    Setting(
        "http_host",
        "core.default.restHost",
        ADDRESS,
        "Address of the console's port; empty: `host`.",
        "SW_CORE_REST_HOST",
    ),
    Setting(
        "http_port",
        "core.default.restPort",
        PORT,
        "Port of the console, its API, GraphQL, PromQL and `/metrics`; 0 lets the system choose.",
        "SW_CORE_REST_PORT",
    ),
    Setting(
        "grpc_host",
        "core.default.gRPCHost",
        ADDRESS,
        "Address of the port of agents; empty: `host`.",
        "SW_CORE_GRPC_HOST",
    ),
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
        TOKEN,
        "What everybody must send as `Authorization: Bearer TOKEN` who asks anything over HTTP, on every port: the"
        " console, the API, GraphQL, PromQL, `/metrics`, and who reloads. `/healthcheck` is open. Empty to ask for"
        " nothing ([security.md](security.md)).",
    ),
    Setting(
        "http_token_file",
        "core.default.restAuthenticationFile",
        FILE,
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
        FILE,
        "Private key of that port, in PEM, without a password.",
        "SW_CORE_REST_SSL_KEY_PATH",
    ),
    Setting(
        "http_tls.certificate",
        "core.default.restSSLCertChainPath",
        FILE,
        "Certificate that it shows, in PEM, with those above it.",
        "SW_CORE_REST_SSL_CERT_CHAIN_PATH",
    ),
    Setting(
        "http_tls.authorities",
        "core.default.restSSLTrustedCAsPath",
        FILE,
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
        FILE,
        "Private key of those ports, in PEM, without a password.",
        "SW_CORE_GRPC_SSL_KEY_PATH",
    ),
    Setting(
        "grpc_tls.certificate",
        "core.default.gRPCSslCertChainPath",
        FILE,
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
        "Most bytes that calls of agents hold together while they are received ([receiver.md](receiver.md)).",
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
        Positive(DAYS),
        "Days for which values by the minute are kept. Older logs are dropped and counted.",
        "SW_CORE_METRICS_DATA_TTL",
    ),
    Setting(
        "times.retention_days_of_hours",
        "core.default.hourDataTTL",
        Positive(DAYS),
        "Days for which values by the hour are kept; never shorter than those by the minute.",
    ),
    Setting(
        "times.retention_days_of_days",
        "core.default.dayDataTTL",
        Positive(DAYS),
        "Days for which values by the day are kept; never shorter than those by the hour.",
    ),
    Setting(
        "times.retention_days_of_metadata",
        "core.default.metadataTTL",
        Positive(DAYS),
        "Days after which a service, instance, endpoint or relation is forgotten that was not seen again.",
    ),
    Setting(
        "times.clock_difference_seconds",
        "core.default.clockDifference",
        Positive(SECONDS),
        "Seconds; logs that are further ahead of this machine's clock are dropped and counted.",
    ),
    Setting(
        "times.shutdown_seconds",
        "core.default.shutdownSeconds",
        Positive(SECONDS),
        "Seconds that open calls get to finish when the backend stops.",
    ),
    Setting(
        "times.journal_after_seconds",
        "core.default.journalAfter",
        Positive(SECONDS),
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
        FILE,
        "Scripts (*.oal) beside the standard ones; one of the same name takes the place of a standard one. Read"
        " again at a reload.",
    ),
    Setting(
        "files.apdex_thresholds",
        "core.default.apdexThresholds",
        FILE,
        "Apdex thresholds by service, as service-apdex-threshold.yml of SkyWalking. Read again at a reload.",
    ),
    Setting(
        "files.dashboards",
        "core.default.dashboards",
        FILE,
        "Dashboards (*.yml) beside the standard ones; one of the same name takes the place of a standard one. Read"
        " again at a reload.",
    ),
    Setting(
        "files.endpoint_groups",
        "core.default.endpointNameGrouping",
        FILE,
        "Rules that group endpoints, as endpoint-name-grouping.yml of SkyWalking. Read again at a reload.",
    ),
    Setting(
        "files.addresses",
        "core.default.addresses",
        FILE,
        "A table from addresses to services ([addresses.md](addresses.md)). Read again at a reload.",
    ),
    Setting(
        "files.alarms",
        "core.default.alarmSettings",
        FILE,
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
)
