"""Keys and variables that are not used are told of, and nothing else is."""

import logging
from pathlib import Path

import pytest

from agent import config_loading
from agent.config import Configuration
from agent.config_loading import load_configuration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, config_loading.__name__)
    return caplog


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cor: {}", "1: unknown key 'cor' is not used; did you mean 'core'?"),
        (
            "core:\n  backend:\n    address: x",
            "3: unknown key 'core.backend.address' is not used; did you mean 'core.backend.addr'?",
        ),
        ("backend: {addr: x}", "1: unknown key 'backend' is not used; did you mean 'core.backend'?"),
        (
            "core: {backend: {max_count: 5}}",
            "1: unknown key 'core.backend.max_count' is not used; did you mean 'access_log.flush.max_count'?",
        ),
        ("access_logs: {flush: 1}", "1: unknown key 'access_logs' is not used; did you mean 'access_log'?"),
        ("core: {backend: {tls: true}}", "1: unknown key 'core.backend.tls' is not used; did you mean 'tls'?"),
        (
            "core: {backend: {enableTls: 1}}",
            "1: unknown key 'core.backend.enableTls' is not used; did you mean 'core.backend.enable_TLS",
        ),
        ("access_log: {flush: {periode: 1s}}", "1: unknown key 'access_log.flush.periode' is not used; did you mean "),
        (
            "limits: {zzz: 1}",
            "1: unknown key 'limits.zzz' is not used; known here: connections, processes, listeners, translations",
        ),
        (
            "discovery:\n  service_rules:\n  - {service: a, port: 1}\n  - service: b\n    port: 2\n    prt: 1\n",
            "6: unknown key 'discovery.service_rules[1].prt' is not used; did you mean 'discovery.service_rules[1].por",
        ),
        (
            "process_discovery: {kubernetes: {analyzers: [{service_name: x, label: y}]}}",
            "1: unknown key 'process_discovery.kubernetes.analyzers[0].label' is not used; did you mean ",
        ),
    ],
)
def test_unknown_keys(file: Path, told: pytest.LogCaptureFixture, text: str, message: str) -> None:
    file.write_text(text)
    load_configuration(file, {})
    (line,) = told.messages
    assert line.startswith(f"{file}:{message}")


def test_what_else_the_file_says_counts(file: Path, told: pytest.LogCaptureFixture) -> None:
    file.write_text("core: {cluster_name: east, cluster: west}\n")
    assert load_configuration(file, {}).core.cluster_name == "east"
    assert len(told.messages) == 1


def test_keys_in_letters_of_any_size(file: Path, told: pytest.LogCaptureFixture) -> None:
    file.write_text("CORE: {Backend: {enable_tls: true, ADDR: 'oap:1'}}\n")
    backend = load_configuration(file, {}).core.backend
    assert (backend.enable_TLS, backend.addr, told.messages) == (True, "oap:1", [])


def test_many_unknown_keys(file: Path, told: pytest.LogCaptureFixture) -> None:
    file.write_text("".join(f"x{number}: 1\n" for number in range(25)))
    load_configuration(file, {})
    assert len(told.messages) == 21
    assert told.messages[-1] == "5 more keys are not known; docs/agent-configuration.md names all"


def test_keys_without_a_meaning_here_are_one_line(file: Path, told: pytest.LogCaptureFixture) -> None:
    file.write_text("core:\n  backend:\n    check_period: 5\npprof: {active: true}\n")
    assert load_configuration(file, {"ROVER_PROFILING_ACTIVE": "true"}) == Configuration()
    (line,) = told.messages
    first, *others = line.split("; ")
    assert first == (
        f"without a meaning here, and not used: core.backend.check_period ({file}:3): "
        "a connection is made when there is something to send"
    )
    assert others == [
        f"pprof ({file}:4): that is a profiler of programs in Go",
        "ROVER_PROFILING_ACTIVE: profiling is not done",
    ]


@pytest.mark.parametrize(
    ("variable", "messages"),
    [
        ("ROVER_BACKEND_ADR", ["not known and not used; did you mean 'ROVER_BACKEND_ADDR'?"]),
        ("ROVER_XYZ", ["not known and not used; docs/agent-configuration.md names all"]),
        ("ROVER_HOST_MAPPING", ["ROVER_HOST_MAPPING: set `ROVER_HOST_PROC_MAPPING`"]),
        ("ROVER_ACCESS_LOG_PROTOCOL_ANALYZE_QUEUE_SIZE", ["events are read in one loop"]),
        # What Kubernetes sets in each container for a service that is called "rover-backend".
        ("ROVER_BACKEND_SERVICE_HOST", []),
        ("ROVER_BACKEND_SERVICE_PORT_GRPC", []),
        ("ROVER_BACKEND_PORT", []),
        ("ROVER_BACKEND_PORT_11800_TCP_ADDR", []),
        ("OTHER", []),
    ],
)
def test_variables(told: pytest.LogCaptureFixture, variable: str, messages: list[str]) -> None:
    load_configuration(None, {variable: "1"})
    assert len(told.messages) == len(messages)
    assert all(part in line for line, part in zip(told.messages, messages, strict=True))


def test_a_variable_that_the_file_asks_for_is_known(file: Path, told: pytest.LogCaptureFixture) -> None:
    file.write_text("node: {name: '${ROVER_MY_NODE:x}'}\n")
    assert load_configuration(file, {"ROVER_MY_NODE": "one"}).node.name == "one"
    assert told.messages == []
