"""What SkyWalking's application.yml has and this backend does not: known, so that such a file can be used as it is.

Source: oap-server/server-starter/src/main/resources/application.yml of SkyWalking 9.0 to 11.0.
"""

from typing import Final

IGNORED_MODULES: Final = frozenset(
    {
        "admin-server", "agent-analyzer", "ai-pipeline", "alarm", "aws-firehose", "cilium-fetcher", "cluster",
        "configuration", "configuration-discovery", "debugging-query", "dsl-debugging", "envoy-metric",
        "event-analyzer", "exporter", "gen-ai-analyzer", "health-checker", "inspect", "kafka-fetcher", "log-analyzer",
        "logql", "query-zipkin", "receiver-async-profiler", "receiver-browser", "receiver-clr",
        "receiver-event", "receiver-jvm", "receiver-log", "receiver-meter", "receiver-otel", "receiver-pprof",
        "receiver-profile", "receiver-register", "receiver-runtime-rule", "receiver-telegraf", "receiver-trace",
        "receiver-zabbix", "receiver-zipkin", "service-mesh", "status-query", "traceQL", "ui-management",
    }
)  # fmt: skip
"""Modules of which nothing is here."""

_SERVER = frozenset(
    {
        "restContextPath", "restMinThreads", "restMaxThreads", "restIdleTimeOut", "restAcceptQueueSize",
        "httpMaxRequestHeaderSize", "maxConcurrentCallsPerConnection", "gRPCThreadPoolQueueSize", "gRPCThreadPoolSize",
        "gRPCSslKeyPath", "gRPCSslCertChainPath", "gRPCSslTrustedCAPath", "gRPCSslTrustedCAsPath", "restSSLKeyPath",
        "restSSLCertChainPath", "sslKeyPath", "sslCertChainPath",
    }
)  # fmt: skip
_TLS = frozenset({"gRPCSslKeyPath", "gRPCSslCertChainPath", "restSSLKeyPath", "restSSLCertChainPath"})
"""Those of them that are settings here where they are of the main ports."""
IGNORED_KEYS: Final = {
    "core.default": (_SERVER - _TLS)
    | {
        "role", "downsampling", "enableDataKeeperExecutor", "dataKeeperExecutePeriod", "recordDataTTL",
        "l1FlushPeriod", "storageSessionTimeout", "persistentPeriod", "enableDatabaseSession", "topNReportPeriod",
        "activeExtraModelColumns", "searchableTracesTags", "searchableLogsTags", "searchableAlarmTags",
        "autocompleteTagKeysQueryMaxSize", "autocompleteTagValuesQueryMaxSize", "prepareThreads", "remoteTimeout",
        "enableEndpointNameGroupingByOpenapi", "maxSizeOfNetworkAddressAlias", "maxPageSizeOfQueryProfileSnapshot",
        "maxSizeOfAnalyzeProfileSnapshot", "maxDurationOfAnalyzeEBPFProfiling", "maxDurationOfQueryEBPFProfilingData",
        "maxThreadCountOfQueryEBPFProfilingData", "maxThreadCountOfQueryTraceData", "serviceCacheRefreshInterval",
        "enableHierarchy", "maxHttpUrisNumberPerService", "syncPeriodHttpUriRecognitionPattern",
        "trainingPeriodHttpUriRecognitionPattern", "maxHeapMemoryUsagePercent", "maxDirectMemoryUsage",
        "uiMenuRefreshInterval",
    },
    "receiver-sharing-server.default": (_SERVER - {"gRPCSslTrustedCAsPath"})
    | {"restHost", "restPort", "maxMessageSize"},
    "receiver-ebpf.default": _SERVER | {"continuousPolicyCacheTimeout", "maxMessageSize"},
    "promql.default": _SERVER
    | {
        "buildInfoVersion", "buildInfoRevision", "buildInfoBranch", "buildInfoBuildUser", "buildInfoBuildDate",
        "buildInfoGoVersion",
    },
    "telemetry.none": frozenset(),
    "telemetry.prometheus": _SERVER,
    "query.graphql": frozenset(
        {
            "enableLogTestTool", "maxQueryComplexity", "enableUpdateUITemplate", "enableOnDemandPodLog",
            "enableOnDemandProfiling",
        }
    ),
}  # fmt: skip
"""Settings of SkyWalking's without a counterpart, by module and provider that are here."""

IGNORED_PROVIDERS: Final = {
    "storage": frozenset(
        {"banyandb", "elasticsearch", "h2", "mysql", "mysql-sharding", "postgresql", "tidb", "influxdb", "iotdb"}
    )
}
"""Providers that may stand in a file, but not be selected, by module."""

REFUSED_KEYS: Final = frozenset({"gRPCSslEnabled", "restSSLEnabled", "sslEnabled"})
"""What must not be ignored when it is switched on, as then more would be open than was asked for."""
