"""The agent's configuration: defaults, then a YAML file, then the environment, then the command line."""

import difflib
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from agent.config import ENVIRONMENT, Configuration, Rule
from agent.config_discovery import analyzers
from agent.config_durations import Duration
from agent.config_level import Level
from agent.config_reading import ConfigurationError, Reading
from agent.config_upstream import ANALYZER_VARIABLES, analyzers_of, ignored_variable, is_of_a_service
from agent.kernel.hooks import HOOKS
from common.grpc.addresses import Target, read_addresses

_logger = logging.getLogger(__name__)

_WARNINGS: Final = 20
"""Unknown keys that are told one by one."""
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def load_configuration(
    path: Path | None, environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Configuration:
    """The configuration of a file (None for none), the environment and command-line `flags` (values by key).

    Keys that are not known, or have no meaning here, are told as warnings.

    Raises:
        ConfigurationError: the file cannot be read, or a value of any of the three cannot be used.
    """
    environment = os.environ if environment is None else environment
    reading = Reading(Configuration, str(path or "configuration"))
    if path is not None:
        reading.read_file(path, environment)
    _read_environment(reading, environment)
    for key, value in (flags or {}).items():
        if value is not None:
            reading.set(key, value, "the command line")
    _warn(reading, environment)
    reading.check(_decode)
    try:
        configuration = msgspec.convert(reading.tree, Configuration, strict=False, dec_hook=_decode)
        _check_addresses(configuration.core.backend.addr)
        for at, rule in enumerate(configuration.discovery.service_rules):
            _check_rule(f"discovery.service_rules[{at}]", rule)
        analyzers(configuration.process_discovery.kubernetes)
        for name in configuration.kernel.unavailable_hooks:
            _check_hook(name)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_explain(str(error), reading)) from error
    return configuration


def _read_environment(reading: Reading, environment: Mapping[str, str]) -> None:
    for variable, key in ENVIRONMENT.items():
        if environment.get(variable):
            reading.set(key, environment[variable], f"environment variable {variable}")
    key = "process_discovery.kubernetes.analyzers"
    if not reading.has(key) and (changed := analyzers_of(environment)) is not None:
        set_by = [variable for variable in ANALYZER_VARIABLES if environment.get(variable)]
        reading.set(key, changed, f"environment variable {' or '.join(set_by)}")


def _warn(reading: Reading, environment: Mapping[str, str]) -> None:
    """Tell what of the configuration is not used."""
    known = {*ENVIRONMENT, *ANALYZER_VARIABLES}
    unknown, ignored = list(reading.unknown), dict(reading.ignored)
    for variable in sorted(environment):
        if not variable.startswith("ROVER_") or variable in known | reading.variables or not environment[variable]:
            continue
        if why := ignored_variable(variable):
            ignored[variable] = f"{variable}: {why.reason}"
        elif not is_of_a_service(variable):
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/agent-configuration.md names all"
            unknown.append(f"environment variable {variable} is not known and not used; {hint}")
    for message in unknown[:_WARNINGS]:
        _logger.warning("%s", message)
    if len(unknown) > _WARNINGS:
        _logger.warning("%d more keys are not known; docs/agent-configuration.md names all", len(unknown) - _WARNINGS)
    if ignored:
        _logger.warning("without a meaning here, and not used: %s", "; ".join(ignored.values()))


def _decode(wanted: type, value: object) -> object:
    if issubclass(wanted, Duration | Level):
        return wanted.parse(value)
    raise NotImplementedError(wanted)


def _check_addresses(text: str) -> None:
    try:
        for address in read_addresses(text):
            Target.parse(address)
    except ValueError as error:
        raise msgspec.ValidationError(f"{error} - at `$.core.backend.addr`") from error


def _check_rule(where: str, rule: Rule) -> None:
    if not (rule.command_line or rule.executable or rule.port):
        raise msgspec.ValidationError(f"A rule needs command_line, executable or port - at `$.{where}`")
    for name in ("command_line", "executable"):
        try:
            re.compile(getattr(rule, name))
        except re.error as error:
            raise msgspec.ValidationError(f"Not a regular expression: {error} - at `$.{where}.{name}`") from error
    expression = re.compile(rule.command_line or rule.executable)
    try:
        re.compile(f"{expression.pattern}|", expression.flags).match("").expand(rule.service)  # type: ignore[union-attr] # the empty alternative matches
    except (re.error, IndexError) as error:
        raise msgspec.ValidationError(f"Not a template of its groups: {error} - at `$.{where}.service`") from error


def _check_hook(name: str) -> None:
    names = [hook.name for hook in HOOKS]
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "docs/hooks.md names all"
    raise msgspec.ValidationError(f"No hook is named {name!r}; {hint} - at `$.kernel.unavailable_hooks`")


def _explain(message: str, reading: Reading) -> str:
    at = _AT.search(message)
    if at is None:
        return f"{reading.origin('')}: {message}"
    return f"{reading.origin(at['path'])}: {at['path']}: {message[: at.start()]}"


__all__ = ["ConfigurationError", "load_configuration"]
