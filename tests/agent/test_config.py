from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ENVIRONMENT, Configuration, ConfigurationError, load_configuration


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
        "active": "true",
        "host_processes": "true",
        "attach": "kprobe",
        "unavailable_hooks": "dup2, splice",
        "address": "localhost:4096",
        "program_statistics": "true",
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
            "period": 0.25,
            "heartbeat_period": 0.25,
            "unavailable_hooks": ("dup2", "splice"),
        }.get(name, value)
        assert str(configuration) == str(expected), variable


@pytest.mark.parametrize("address", ["", ":9000", "localhost:0", "10.0.0.1:65535", "[::1]:9000", "node-1.example:1"])
def test_an_address_to_tell_of_itself(address: str) -> None:
    environment = {"ROVER_TELEMETRY_ADDRESS": address}
    assert load_configuration(None, environment).telemetry.address == address


@pytest.mark.parametrize("address", ["9000", "localhost", "::1:9000", "http://localhost:9000", "a b:1", "host:123456"])
def test_what_is_no_address_to_tell_of_itself(file: Path, address: str) -> None:
    assert "ROVER_TELEMETRY_ADDRESS: telemetry.address: " in _error(file, "", ROVER_TELEMETRY_ADDRESS=address)


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
        ("cor: {}", "unknown key 'cor'; did you mean 'core'?"),
        ("core: {backend: {address: x}}", "unknown key 'core.backend.address'; did you mean 'addr'?"),
        ("access_log: {flush: {periode: 1s}}", "'access_log.flush.periode'; did you mean 'period'?"),
        ("limits: {zzz: 1}", "unknown key 'limits.zzz'; known here: connections, processes, listeners"),
        ("discovery: {service_rules: [{service: a, prt: 1}]}", "service_rules[0].prt'; did you mean 'port'?"),
        ("access_log: {flush: {period: soon}}", "access_log.flush.period: 'soon' is not a duration"),
        ("access_log: {flush: {max_count: 0}}", "access_log.flush.max_count: Expected `int` >= 1"),
        ("kernel: {attach: magic}", "kernel.attach: Invalid enum value 'magic'"),
        (
            "process_discovery: {kubernetes: {analyzers: [{service_nam: x}]}}",
            "analyzers[0].service_nam'; did you mean 'service_name'?",
        ),
        (
            "process_discovery: {kubernetes: {analyzers: [{service_name: '{{.Pod.Nam}}'}]}}",
            "kubernetes.analyzers[0].service_name: Not a template: .Pod has no field 'Nam'; it has Name, Namespace",
        ),
        (
            "process_discovery: {kubernetes: {analyzers: [{service_name: x, filters: ['.Pod.Name']}]}}",
            "kubernetes.analyzers[0].filters[0]: Not a template: '.Pod.Name' is a text; a filter must be true or false",
        ),
        ("core: 5", "core: Expected `object`, got `int`"),
        ("- a", "must hold keys and values"),
        ("a: [", "is not YAML"),
        ("discovery: {service_rules: [{service: a}]}", "A rule needs command_line, executable or port"),
        ("discovery: {service_rules: [{service: a, executable: '('}]}", "executable: Not a regular expression"),
        ("discovery: {service_rules: [{service: '\\1', executable: 'a'}]}", "service: Not a template of its groups"),
        ("discovery: {service_rules: [{service: '\\g<x>', port: 1}]}", "service: Not a template of its groups"),
        ("discovery: {service_rules: [{port: 70000, service: a}]}", "port: Expected `int` <= 65535"),
    ],
)
def test_errors_say_where_and_what(file: Path, text: str, message: str) -> None:
    error = _error(file, text)
    assert error.startswith(f"{file}: ")
    assert message in error


def test_an_error_in_the_environment_names_the_variable(file: Path) -> None:
    error = _error(file, "", ROVER_ACCESS_LOG_FLUSH_PERIOD="5x")
    assert error.startswith("environment variable ROVER_ACCESS_LOG_FLUSH_PERIOD: access_log.flush.period: '5x'")


def test_an_error_on_the_command_line_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"^the command line: kernel\.ring_bytes: "):
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
        problem = f"{file}: "
    except ConfigurationError as error:
        problem = str(error)
    assert problem.startswith(f"{file}: ")


def test_hooks_that_are_not_to_be_used(file: Path) -> None:
    file.write_text("kernel: {unavailable_hooks: [close_range, dup3]}\n")
    assert load_configuration(file, {}).kernel.unavailable_hooks == ("close_range", "dup3")
    assert load_configuration(file, {"ROVER_KERNEL_UNAVAILABLE_HOOKS": "read,"}).kernel.unavailable_hooks == ("read",)
    said = _error(file, "kernel: {unavailable_hooks: [closerange]}")
    assert "kernel.unavailable_hooks: No hook is named 'closerange'; did you mean 'close_range'?" in said
    assert "docs/hooks.md" in _error(file, "kernel: {unavailable_hooks: [xyz]}")
    said = _error(file, "", ROVER_KERNEL_UNAVAILABLE_HOOKS="rea")
    assert said.startswith("environment variable ROVER_KERNEL_UNAVAILABLE_HOOKS: kernel.unavailable_hooks: ")
