"""SkyWalking Rover's file and variables, as they are."""

import logging
import re
from pathlib import Path

import msgspec
import pytest

from agent import config, config_loading
from agent.config import ENVIRONMENT, Backend, Configuration, Core
from agent.config_discovery import ANALYZERS
from agent.config_loading import load_configuration
from agent.config_upstream import ANALYZER_VARIABLES, IGNORED, ignored_variable

FILE = Path(__file__).with_name("rover.yaml")
VARIABLES = sorted(set(re.findall(r"\$\{(ROVER_\w+)", FILE.read_text())))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, config_loading.__name__)
    return caplog


def test_the_file_is_read_and_one_line_says_what_has_no_meaning_here(told: pytest.LogCaptureFixture) -> None:
    loaded = load_configuration(FILE, {})
    expected = Configuration(
        core=Core(backend=Backend(client_pem_path="client.pem", client_key_path="client.key", ca_pem_path="ca.pem")),
        access_log=msgspec.structs.replace(
            Configuration().access_log, active=False, exclude_namespaces="istio-system,cert-manager,kube-system"
        ),
        process_discovery=msgspec.structs.replace(
            Configuration().process_discovery,
            kubernetes=msgspec.structs.replace(Configuration().process_discovery.kubernetes, active=True),
        ),
    )
    assert loaded == expected
    (line,) = told.messages
    told_of = re.findall(rf"([\w.]+) \({FILE}:\d+\): ", line)
    assert told_of == [
        "core.backend.check_period",
        "process_discovery.scanner",
        "access_log.connection_analyze",
        "access_log.protocol_analyze",
        "profiling",
        "pprof",
    ]


@pytest.mark.parametrize("variable", VARIABLES)
def test_each_variable_of_the_file_is_known_without_the_file(variable: str) -> None:
    meanings = [variable in ENVIRONMENT, variable in ANALYZER_VARIABLES, ignored_variable(variable) is not None]
    assert meanings.count(True) == 1


def test_a_variable_sets_the_same_with_the_file_and_without() -> None:
    for variable, key in ENVIRONMENT.items():
        if variable not in VARIABLES:
            continue
        default: object = Configuration()
        for part in key.split("."):
            default = getattr(default, part)
        value = {bool: str(not default).lower(), int: "77", float: "77s"}.get(type(default), "node-7:77")
        if "period" in key.rpartition(".")[2] and isinstance(default, float):
            value = "77s"
        if variable == "ROVER_LOGGER_LEVEL":
            value = "warn"
        read = []
        for file in (FILE, None):
            setting: object = load_configuration(file, {variable: value})
            for part in key.split("."):
                setting = getattr(setting, part)
            read.append(setting)
        assert read[0] == read[1], variable
        assert read[0] != default, variable


@pytest.mark.parametrize("variable", sorted(ANALYZER_VARIABLES))
def test_a_variable_of_an_analyzer_sets_its_part(variable: str) -> None:
    part = ANALYZER_VARIABLES[variable]
    value = (
        "false" if part.field == "active" else '.Pod.HasContainer "x"' if part.filter is not None else "{{.Pod.Name}}"
    )
    read = load_configuration(None, {variable: value}).process_discovery.kubernetes.analyzers
    expected = list(ANALYZERS)
    old = expected[part.analyzer]
    if part.filter is not None:
        filters = list(old.filters)
        filters[part.filter] = value
        expected[part.analyzer] = msgspec.structs.replace(old, filters=tuple(filters))
    else:
        set_to = False if part.field == "active" else value
        expected[part.analyzer] = msgspec.structs.replace(old, **{part.field: set_to})
    assert read == tuple(expected)
    if variable in VARIABLES:
        assert load_configuration(FILE, {variable: value}).process_discovery.kubernetes.analyzers == read


def test_a_variable_of_an_analyzer_that_cannot_be_used_is_named() -> None:
    variable = "ROVER_PROCESS_DISCOVERY_KUBERNETES_ANALYZER_K8S_SERVICE_NAME"
    with pytest.raises(
        config_loading.ConfigurationError, match=rf"^environment variable {variable}: .*\[2\].service_name: Not a"
    ):
        load_configuration(None, {variable: "{{.Nothing}}"})


def test_no_key_is_both_known_and_ignored() -> None:
    assert not {key for key in config.KEYS for other in IGNORED if key == other or key.startswith(f"{other}.")}
