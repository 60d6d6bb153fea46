from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from backend.server.application_file import ApplicationFile
from backend.server.settings import SettingsError

UPSTREAM = """
cluster:
  selector: ${SW_CLUSTER:standalone}
  standalone:
  zookeeper:
    hostPort: ${SW_CLUSTER_ZK_HOST_PORT:localhost:2181}
core:
  selector: ${SW_CORE:default}
  default:
    role: ${SW_CORE_ROLE:Mixed} # Mixed/Receiver/Aggregator
    restHost: ${SW_CORE_REST_HOST:0.0.0.0}
    restPort: ${SW_CORE_REST_PORT:12800}
    restContextPath: ${SW_CORE_REST_CONTEXT_PATH:/}
    gRPCPort: ${SW_CORE_GRPC_PORT:11800}
    maxMessageSize: ${SW_CORE_GRPC_MAX_MESSAGE_SIZE:0}
    gRPCSslEnabled: ${SW_CORE_GRPC_SSL_ENABLED:false}
    gRPCSslKeyPath: ${SW_CORE_GRPC_SSL_KEY_PATH:""}
    downsampling:
      - Hour
      - Day
    metricsDataTTL: ${SW_CORE_METRICS_DATA_TTL:7} # Unit is day
    serviceNameMaxLength: ${SW_SERVICE_NAME_MAX_LENGTH:70}
storage:
  selector: ${SW_STORAGE:banyandb}
  banyandb:
    host: ${SW_STORAGE_BANYANDB_HOST:127.0.0.1}
  elasticsearch:
    clusterNodes: ${SW_STORAGE_ES_CLUSTER_NODES:localhost:9200}
receiver-sharing-server:
  selector: ${SW_RECEIVER_SHARING_SERVER:default}
  default:
    authentication: ${SW_AUTHENTICATION:""}
receiver-zabbix:
  selector: ${SW_RECEIVER_ZABBIX:-}
  default:
    port: ${SW_RECEIVER_ZABBIX_PORT:10051}
envoy-metric:
  selector: ${SW_ENVOY_METRIC:default}
  default:
    k8sServiceNameRule: ${K8S_SERVICE_NAME_RULE:"${pod.metadata.labels.(service.istio.io/canonical-name)}"}
query:
  selector: ${SW_QUERY:graphql}
  graphql:
    maxQueryComplexity: ${SW_QUERY_MAX_QUERY_COMPLEXITY:3000}
telemetry:
  selector: ${SW_TELEMETRY:none}
  none:
  prometheus:
    port: ${SW_TELEMETRY_PROMETHEUS_PORT:1234}
receiver-ebpf:
  selector: ${SW_RECEIVER_EBPF:default}
  default:
    continuousPolicyCacheTimeout: ${SW_CONTINUOUS_POLICY_CACHE_TIMEOUT:60}
    gRPCPort: ${SW_EBPF_GRPC_PORT:0}
"""
"""In the shape of SkyWalking's own."""


def read(text: str, environment: Mapping[str, str] | None = None) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    found = ApplicationFile("f.yml", environment or {}, warnings.append).read(yaml.safe_load(text))
    return {given.path: given.value for given in found}, warnings


def test_a_file_of_skywalkings_is_read() -> None:
    found, warnings = read(UPSTREAM, {"SW_STORAGE": "duckdb", "SW_AUTHENTICATION": "sesame", "SW_CORE_REST_PORT": "80"})
    assert found == {
        "http_host": "0.0.0.0",
        "http_port": "80",
        "grpc_tls.enabled": "false",
        "grpc_tls.key": "",
        "grpc_port": "11800",
        "limits.message_bytes": "0",
        "times.retention_days": "7",
        "names.service": "70",
        "store.kind": "duckdb",
        "token": "sesame",
        "prometheus.kind": "none",
        "prometheus.port": "1234",
        "receivers.ebpf_port": "0",
    }
    assert [warning.split(" ")[1] for warning in warnings] == [
        "cluster",
        "core.default.role",
        "core.default.restContextPath",
        "core.default.downsampling",
        "envoy-metric",
        "query.graphql.maxQueryComplexity",
        "receiver-ebpf.default.continuousPolicyCacheTimeout",
    ]


def test_telemetry_that_is_off_is_none() -> None:
    found, _ = read("telemetry:\n  selector: '-'\n")
    assert found == {"prometheus.kind": "none"}


def test_a_module_that_is_off_sets_nothing() -> None:
    found, _ = read("receiver-sharing-server:\n  selector: ${S:-}\n  default:\n    gRPCPort: 5\n")
    assert found == {}


def test_a_list_may_have_variables() -> None:
    text = "receiver-ebpf:\n  default:\n    excludeNamespaces: ['${FIRST:a}', b]\n"
    assert read(text, {"FIRST": "z"})[0] == {"entities.excluded_namespaces": ["z", "b"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cor: {}", "f.yml: there is no setting 'cor'; did you mean 'core'?"),
        ("core: {default: {gRPCPrt: 1}}", "no setting 'core.default.gRPCPrt'; did you mean 'core.default.gRPCPort'?"),
        ("core: {defalt: {}}", "there is no provider 'core.defalt'; did you mean 'core.default'?"),
        ("core: {selector: other}", "core.selector is 'other'; it must be default"),
        ("core: {selector: '${NONE}'}", "core.selector is '${NONE}'; the variable NONE is not set"),
        ("core: 5", "core is 5; it must hold keys and values"),
        ("core: {default: 5}", "core.default is 5; it must hold keys and values"),
        ("receiver-ebpf: {default: {gRPCSslEnabled: true}}", "core.default.gRPCSslEnabled is for all ports of agents"),
        ("telemetry: {prometheus: {sslEnabled: '${X:true}'}}", "sslEnabled is '${X:true}'; leave it off"),
        ("core: {default: {gRPCPort: '${X'}}", "f.yml: core.default.gRPCPort is '${X'; '${X' has no end"),
        ("cluster: 5", "cluster is 5; it must hold keys and values"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert words in str(caught.value)
