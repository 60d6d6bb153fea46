from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ENVIRONMENT, Configuration
from agent.config_loading import ConfigurationError, load_configuration
from agent.config_upstream import ANALYZER_VARIABLES

ALIASES = "".join(
    f"{one}: &{one} [{', '.join([of] * 10)}]\n" for of, one in zip(("1", "*a", "*b", "*c"), "abcd", strict=True)
)
"""Four lines that stand for ten thousand values and more."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


def _error(file: Path, text: str, **environment: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        load_configuration(file, environment)
    return str(error.value)


def test_defaults() -> None:
    configuration = load_configuration(None, {})
    assert configuration == Configuration()
    assert configuration.core.backend.addr == "localhost:11800"
    assert (configuration.access_log.flush.max_count, configuration.access_log.flush.period) == (10_000, 5.0)
    assert configuration.limits.connections == 65_536


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(file: Path) -> None:
    file.write_text("core: {backend: {addr: file:1}, cluster_name: file}\nnode: {name: file}\n")
    environment = {"ROVER_BACKEND_ADDR": "environment:1", "ROVER_CORE_CLUSTER_NAME": "environment"}
    flags = {"core.backend.addr": "flag:1", "core.cluster_name": None}
    configuration = load_configuration(file, environment, flags)
    assert configuration.core.backend.addr == "flag:1"
    assert configuration.core.cluster_name == "environment"
    assert configuration.node.name == "file"


def test_every_environment_variable_sets_its_key() -> None:
    samples = {
        "enable_TLS": "true",
        "enabled": "false",
        "period": "250ms",
        "heartbeat_period": "250ms",
        "denied_period": "250ms",
        "active": "true",
        "host_processes": "true",
        "attach": "kprobe",
        "format": "json",
        "unavailable_hooks": "dup2, splice",
        "address": "localhost:4096",
        "program_statistics": "true",
        "insecure_skip_verify": "true",
        "reported": "false",
        "addr": "localhost:4096",
        "level": "debug",
    }
    for variable, key in ENVIRONMENT.items():
        name = key.rpartition(".")[2]
        value = samples.get(name, "4096")
        configuration: object = load_configuration(None, {variable: value})
        for part in key.split("."):
            configuration = getattr(configuration, part)
        expected = {
            "enable_TLS": True,
            "enabled": False,
            "active": True,
            "host_processes": True,
            "program_statistics": True,
            "insecure_skip_verify": True,
            "reported": False,
            "level": "DEBUG",
            "period": 0.25,
            "heartbeat_period": 0.25,
            "denied_period": 0.25,
            "unavailable_hooks": ("dup2", "splice"),
        }.get(name, value)
        assert str(configuration) == str(expected), variable


@pytest.mark.parametrize("address", ["", ":9000", "localhost:0", "10.0.0.1:65535", "[::1]:9000", "node-1.example:1"])
def test_an_address_to_tell_of_itself(address: str) -> None:
    environment = {"ROVER_TELEMETRY_ADDRESS": address}
    assert load_configuration(None, environment).telemetry.address == address


@pytest.mark.parametrize("address", ["9000", "localhost", "::1:9000", "http://localhost:9000", "a b:1", "host:123456"])
def test_what_is_no_address_to_tell_of_itself(file: Path, address: str) -> None:
    error = _error(file, "", ROVER_TELEMETRY_ADDRESS=address)
    assert f"ROVER_TELEMETRY_ADDRESS: telemetry.address is {address!r}; it must be HOST:PORT" in error


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_configuration(None, {"ROVER_BACKEND_ADDR": ""}).core.backend.addr == "localhost:11800"


def test_values_with_a_variable_in_the_file(file: Path) -> None:
    file.write_text(
        "core:\n  backend: {addr: '${ADDRESS:oap:11800}'}\n  cluster_name: ${CLUSTER:}\n"
        "access_log: {flush: {max_count: '${COUNT:2000}', period: '${PERIOD:2s}'}}\n"
    )
    configuration = load_configuration(file, {"PERIOD": "1s"})
    assert configuration.core.backend.addr == "oap:11800"
    assert configuration.core.cluster_name == ""
    assert (configuration.access_log.flush.max_count, configuration.access_log.flush.period) == (2000, 1.0)


def test_templates_may_be_the_default_of_a_variable(file: Path) -> None:
    file.write_text(
        "process_discovery:\n  kubernetes:\n    active: ${K8S:false}\n    analyzers:\n"
        "    - active: ${ACTIVE:true}\n"
        '      filters:\n      - ${HAS_SERVICE:.Pod.HasContainer "istio-proxy"}\n'
        "      service_name: ${SERVICE:{{.Pod.ServiceName}}.{{.Pod.Namespace}}}\n"
        "      layer: ${LAYER:K8S_SERVICE}\n"
    )
    kubernetes = load_configuration(file, {"LAYER": "MESH", "K8S": "true"}).process_discovery.kubernetes
    (analyzer,) = kubernetes.analyzers
    assert (kubernetes.active, analyzer.active, analyzer.layer) == (True, True, "MESH")
    assert analyzer.filters == ('.Pod.HasContainer "istio-proxy"',)
    assert analyzer.service_name == "{{.Pod.ServiceName}}.{{.Pod.Namespace}}"


def test_sections_without_content_are_defaults(file: Path) -> None:
    file.write_text("core:\naccess_log:\n  flush:\n")
    assert load_configuration(file, {}) == Configuration()
    file.write_text("")
    assert load_configuration(file, {}) == Configuration()


def test_service_rules(file: Path) -> None:
    file.write_text(
        "discovery:\n  service_rules:\n  - {service: 'shop-\\1', command_line: 'shop-(\\w+)'}\n"
        "  - {service: api, port: 8080}\n"
    )
    rules = load_configuration(file, {}).rules()
    assert [(rule.service, rule.port) for rule in rules] == [("shop-\\1", None), ("api", 8080)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "access_log:\n  flush:\n    period: soon",
            "3: access_log.flush.period is 'soon'; it must be a length of time longer than nothing, such as 500ms",
        ),
        (
            "access_log: {flush: {max_count: 0}}",
            "1: access_log.flush.max_count is 0; it must be a whole number of at least 1",
        ),
        (
            "\nkernel: {attach: magic}",
            "2: kernel.attach is 'magic'; it must be one of auto, fentry, kprobe, tracepoint",
        ),
        ("logger: {level: LOUD}", "1: logger.level is 'LOUD'; it must be one of TRACE, DEBUG, INFO, WARN, WARNING, "),
        ("tls: {enabled: perhaps}", "1: tls.enabled is 'perhaps'; it must be true or false"),
        ("node: {name: 5}", "1: node.name is 5; it must be a text; numbers and the like stand in quotes"),
        ("core: {backend: {authentication: [1]}}", "1: core.backend.authentication is not usable; it must be a text"),
        ("core: {backend: {addr: 'a:1,b'}}", "1: core.backend.addr: 'b' is not HOST:PORT, such as backend.example:"),
        ("core: {backend: {addr: ','}}", "1: core.backend.addr: ',' names no server; write HOST:PORT"),
        (
            "process_discovery: {kubernetes: {analyzers: [{labels: x}]}}",
            "1: process_discovery.kubernetes.analyzers[0] has no 'service_name', which it needs",
        ),
        (
            "process_discovery:\n  kubernetes:\n    analyzers:\n    - {service_name: '{{.Pod.Nam}}'}",
            "4: process_discovery.kubernetes.analyzers[0].service_name: Not a template: .Pod has no field 'Nam'; it ",
        ),
        (
            "process_discovery: {kubernetes: {analyzers: [{service_name: x, filters: ['.Pod.Name']}]}}",
            "1: process_discovery.kubernetes.analyzers[0].filters[0]: Not a template: '.Pod.Name' is a text; a filter ",
        ),
        (
            "process_discovery: {kubernetes: {analyzers: 5}}",
            "1: process_discovery.kubernetes.analyzers is 5; it must be a",
        ),
        ("core: 5", "1: core is 5; it must hold keys and values, of these: cluster_name, backend"),
        (
            "discovery: {service_rules: [5]}",
            "1: discovery.service_rules[0] is 5; it must hold keys and values, of these: s",
        ),
        ("- a", " must hold keys and values"),
        ("a: [", " is not YAML"),
        (
            "discovery: {service_rules: [{service: a}]}",
            "1: discovery.service_rules[0]: A rule needs command_line, exec",
        ),
        (
            "discovery: {service_rules: [{service: a, executable: '('}]}",
            "1: discovery.service_rules[0].executable: Not a regular expression",
        ),
        (
            "discovery: {service_rules: [{service: '\\1', executable: 'a'}]}",
            "1: discovery.service_rules[0].service: Not a template of its groups",
        ),
        (
            "discovery: {service_rules: [{service: '\\g<x>', port: 1}]}",
            "1: discovery.service_rules[0].service: Not a template of its groups",
        ),
        (
            "discovery:\n  service_rules:\n  - {port: 1, service: b}\n  - {service: a,\n     port: 70000}",
            "5: discovery.service_rules[1].port is 70000; it must be a whole number of at least 1 and at most 65535",
        ),
        ("a: &a [*a]", " is nested deeper than 32; no key needs that"),
        (ALIASES, " holds more than 10,000 values; look at its aliases"),
    ],
)
def test_errors_say_where_and_what(file: Path, text: str, message: str) -> None:
    assert _error(file, text).startswith(f"{file}:{message}")


def test_every_value_that_cannot_be_used_is_named(file: Path) -> None:
    variable = "ROVER_LIMITS_CONNECTIONS"
    error = _error(file, "tls: {enabled: 7}\nlimits:\n  processes: x\n", **{variable: "none"})
    assert error.splitlines() == [
        f"{file}:1: tls.enabled is 7; it must be true or false",
        f"environment variable {variable}: limits.connections is 'none'; it must be a whole number of at least 1",
        f"{file}:3: limits.processes is 'x'; it must be a whole number of at least 1",
    ]


def test_a_value_is_shown_in_part(file: Path) -> None:
    error = _error(file, f"tls: {{enabled: {'x' * 1000}}}")
    assert error == f"{file}:1: tls.enabled is '{'x' * 99}...; it must be true or false"


def test_an_error_in_the_environment_names_the_variable(file: Path) -> None:
    error = _error(file, "", ROVER_ACCESS_LOG_FLUSH_PERIOD="5x")
    assert error.startswith("environment variable ROVER_ACCESS_LOG_FLUSH_PERIOD: access_log.flush.period is '5x'; it m")


def test_an_error_on_the_command_line_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"^the command line: kernel\.ring_bytes is 0; it must"):
        load_configuration(None, {}, {"kernel.ring_bytes": 0})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: cannot be read: No such file"):
        load_configuration(tmp_path / "absent.yaml", {})


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "core",
                    "backend",
                    "addr",
                    "access_log",
                    "flush",
                    "period",
                    "limits",
                    "node",
                    "x",
                    "discovery",
                    "service_rules",
                    "service",
                    "executable",
                    "port",
                ]
            ),
            below,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(_TREES)
def test_any_tree_is_a_configuration_or_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, tree: object
) -> None:
    file = tmp_path_factory.mktemp("any") / "agent.yaml"
    file.write_text(yaml.safe_dump(tree))
    try:
        load_configuration(file, {})
        problem = f"{file}:"
    except ConfigurationError as error:
        problem = str(error)
    assert all(line.startswith(f"{file}:") for line in problem.splitlines())


@given(st.sampled_from(sorted({*ENVIRONMENT, *ANALYZER_VARIABLES})), st.text(max_size=9))
def test_any_variable_is_a_configuration_or_an_error_that_names_it(variable: str, value: str) -> None:
    try:
        load_configuration(None, {variable: value})
        problem = f"environment variable {variable}: "
    except ConfigurationError as error:
        problem = str(error)
    assert problem.startswith(f"environment variable {variable}: ")


def test_hooks_that_are_not_to_be_used(file: Path) -> None:
    file.write_text("kernel: {unavailable_hooks: [close_range, dup3]}\n")
    assert load_configuration(file, {}).kernel.unavailable_hooks == ("close_range", "dup3")
    assert load_configuration(file, {"ROVER_KERNEL_UNAVAILABLE_HOOKS": "read,"}).kernel.unavailable_hooks == ("read",)
    said = _error(file, "kernel: {unavailable_hooks: [closerange]}")
    assert "kernel.unavailable_hooks: No hook is named 'closerange'; did you mean 'close_range'?" in said
    assert "docs/hooks.md" in _error(file, "kernel: {unavailable_hooks: [xyz]}")
    said = _error(file, "", ROVER_KERNEL_UNAVAILABLE_HOOKS="rea")
    assert said.startswith("environment variable ROVER_KERNEL_UNAVAILABLE_HOOKS: kernel.unavailable_hooks: ")
