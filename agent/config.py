"""The agent's configuration: defaults, then a YAML file, then the environment, then the command line.

Keys that mean the same as in other agents of this wire have the same names and environment variables.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from agent.config_discovery import AnalyzerSettings, ProcessDiscovery, analyzers
from agent.config_durations import Duration
from agent.discovery.naming import ServiceRule
from agent.kernel.hooks import HOOKS
from common.yaml_file import YamlFileError, read_mapping

Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says where and why."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of keys."""


class Backend(_Section, frozen=True):
    """Where access logs go."""

    addr: str = "localhost:11800"
    enable_TLS: bool = False  # noqa: N815 - the key's established spelling
    ca_pem_path: str = ""
    client_pem_path: str = ""
    client_key_path: str = ""
    authentication: str = ""


class Core(_Section, frozen=True):
    """What every part of the agent shares."""

    cluster_name: str = ""
    backend: Backend = Backend()


class Flush(_Section, frozen=True):
    """When collected logs are sent: after this time or at this number, whichever comes first."""

    max_count: Positive = 10_000
    period: Duration = Duration(5.0)


class AccessLog(_Section, frozen=True):
    """What is sent."""

    exclude_namespaces: str = ""
    """Separated by commas; nothing is told of their pods, and the backend is told so."""
    exclude_cluster: str = ""
    """Separated by commas: nothing is told of services of these clusters."""
    flush: Flush = Flush()


class Node(_Section, frozen=True):
    """This machine."""

    name: str = ""
    """The host name when empty. It is the instance of every service on a plain host."""


class Rule(_Section, frozen=True):
    """A rule that names services; at least one of the conditions must be there, and all that are must hold."""

    service: str
    command_line: str = ""
    executable: str = ""
    port: Port | None = None


class Discovery(_Section, frozen=True):
    """How processes are read and named."""

    proc: str = "/proc"
    """Where the host's /proc is mounted."""
    service_rules: tuple[Rule, ...] = ()


class Kernel(_Section, frozen=True):
    """How events are captured."""

    attach: Literal["auto", "fentry", "kprobe", "tracepoint"] = "auto"
    ring_bytes: Positive = 4 * 1024 * 1024
    payload_bytes: Positive = 8 * 1024 * 1024
    """Of the ring of captured payload."""
    unavailable_hooks: tuple[str, ...] = ()
    """Hooks that are not to be used, by name; what is lost without them is in docs/hooks.md."""


class Conntrack(_Section, frozen=True):
    """Finding the real far end of connections whose destination is translated on the way."""

    enabled: bool = True


class Tls(_Section, frozen=True):
    """Reading the plain text of TLS connections, where libraries take it from programs and give it to them."""

    enabled: bool = True


class Telemetry(_Section, frozen=True):
    """What the agent says of itself; docs/agent-metrics.md."""

    address: Annotated[str, Meta(pattern=r"^$|^(\[[0-9A-Fa-f:.%]+\]|[\w.-]*):[0-9]{1,5}$")] = ""
    """HOST:PORT where it answers questions about itself, by HTTP; without a host all addresses; empty for nowhere."""
    program_statistics: bool = False
    """Whether the kernel measures the time that each program takes, which costs some time itself."""


class Limits(_Section, frozen=True):
    """Bounds of what the agent keeps. What does not fit is counted."""

    connections: Positive = 65_536
    processes: Positive = 8_192
    listeners: Positive = 16_384
    translations: Positive = 65_536
    conversations: Positive = 16_384
    network_namespaces: Positive = 256
    unnamed_logs: Positive = 100_000
    queue_logs: Positive = 200_000
    queue_bytes: Positive = 16 * 1024 * 1024


class Configuration(_Section, frozen=True):
    """Everything that can be set."""

    core: Core = Core()
    access_log: AccessLog = AccessLog()
    process_discovery: ProcessDiscovery = ProcessDiscovery()
    node: Node = Node()
    discovery: Discovery = Discovery()
    kernel: Kernel = Kernel()
    conntrack: Conntrack = Conntrack()
    tls: Tls = Tls()
    telemetry: Telemetry = Telemetry()
    limits: Limits = Limits()

    def rules(self) -> tuple[ServiceRule, ...]:
        """The user's rules, compiled."""
        return tuple(
            ServiceRule(
                service=rule.service,
                command_line=re.compile(rule.command_line) if rule.command_line else None,
                executable=re.compile(rule.executable) if rule.executable else None,
                port=rule.port,
            )
            for rule in self.discovery.service_rules
        )


ENVIRONMENT = {
    "ROVER_CORE_CLUSTER_NAME": "core.cluster_name",
    "ROVER_BACKEND_ADDR": "core.backend.addr",
    "ROVER_BACKEND_ENABLE_TLS": "core.backend.enable_TLS",
    "ROVER_BACKEND_CA_PEM_PATH": "core.backend.ca_pem_path",
    "ROVER_BACKEND_PEM_PATH": "core.backend.client_pem_path",
    "ROVER_BACKEND_KEY_PATH": "core.backend.client_key_path",
    "ROVER_BACKEND_AUTHENTICATION": "core.backend.authentication",
    "ROVER_ACCESS_LOG_EXCLUDE_NAMESPACES": "access_log.exclude_namespaces",
    "ROVER_ACCESS_LOG_EXCLUDE_CLUSTER": "access_log.exclude_cluster",
    "ROVER_PROCESS_DISCOVERY_HEARTBEAT_PERIOD": "process_discovery.heartbeat_period",
    "ROVER_PROCESS_DISCOVERY_PROPERTIES_REPORT_PERIOD": "process_discovery.properties_report_period",
    "ROVER_PROCESS_DISCOVERY_KUBERNETES_ACTIVE": "process_discovery.kubernetes.active",
    "ROVER_PROCESS_DISCOVERY_KUBERNETES_NAMESPACES": "process_discovery.kubernetes.namespaces",
    "ROVER_PROCESS_DISCOVERY_KUBERNETES_HOST_PROCESSES": "process_discovery.kubernetes.host_processes",
    "ROVER_PROCESS_DISCOVERY_KUBERNETES_KUBECONFIG": "process_discovery.kubernetes.kubeconfig",
    "ROVER_ACCESS_LOG_FLUSH_MAX_COUNT": "access_log.flush.max_count",
    "ROVER_ACCESS_LOG_FLUSH_PERIOD": "access_log.flush.period",
    "ROVER_PROCESS_DISCOVERY_KUBERNETES_NODE_NAME": "node.name",
    "ROVER_NODE_NAME": "node.name",
    "ROVER_HOST_PROC_MAPPING": "discovery.proc",
    "ROVER_KERNEL_ATTACH": "kernel.attach",
    "ROVER_KERNEL_RING_BYTES": "kernel.ring_bytes",
    "ROVER_KERNEL_PAYLOAD_BYTES": "kernel.payload_bytes",
    "ROVER_KERNEL_UNAVAILABLE_HOOKS": "kernel.unavailable_hooks",
    "ROVER_CONNTRACK_ENABLED": "conntrack.enabled",
    "ROVER_TLS_ENABLED": "tls.enabled",
    "ROVER_TELEMETRY_ADDRESS": "telemetry.address",
    "ROVER_TELEMETRY_PROGRAM_STATISTICS": "telemetry.program_statistics",
    "ROVER_LIMITS_CONNECTIONS": "limits.connections",
    "ROVER_LIMITS_PROCESSES": "limits.processes",
    "ROVER_LIMITS_LISTENERS": "limits.listeners",
    "ROVER_LIMITS_TRANSLATIONS": "limits.translations",
    "ROVER_LIMITS_CONVERSATIONS": "limits.conversations",
    "ROVER_LIMITS_NETWORK_NAMESPACES": "limits.network_namespaces",
    "ROVER_LIMITS_UNNAMED_LOGS": "limits.unnamed_logs",
    "ROVER_LIMITS_QUEUE_LOGS": "limits.queue_logs",
    "ROVER_LIMITS_QUEUE_BYTES": "limits.queue_bytes",
}
"""Key by environment variable. An empty variable counts as unset; of two for one key the later line wins."""

_ELEMENTS: dict[str, type[msgspec.Struct]] = {"service_rules": Rule, "analyzers": AnalyzerSettings}
"""What lists of sections consist of, by the name of the list."""
_LISTS = frozenset(("kernel.unavailable_hooks",))
"""Keys whose values are lists; a variable holds them separated by commas."""

_VARIABLE = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)(?::(.*))?\}$")
_UNKNOWN_KEY = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def load_configuration(
    path: Path | None, environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Configuration:
    """The configuration of a file (None for none), the environment and command-line `flags` (values by key).

    Raises:
        ConfigurationError: the file cannot be read, or a value of any of the three cannot be used.
    """
    environment = os.environ if environment is None else environment
    tree: dict[str, Any] = _expand(_read(path), environment) if path is not None else {}
    origins: dict[str, str] = {}
    for variable, key in ENVIRONMENT.items():
        if environment.get(variable):
            _set(tree, key, _listed(environment[variable]) if key in _LISTS else environment[variable])
            origins[key] = f"environment variable {variable}"
    for key, value in (flags or {}).items():
        if value is not None:
            _set(tree, key, value)
            origins[key] = "the command line"
    try:
        configuration = msgspec.convert(tree, Configuration, strict=False, dec_hook=_decode)
        for at, rule in enumerate(configuration.discovery.service_rules):
            _check_rule(f"discovery.service_rules[{at}]", rule)
        analyzers(configuration.process_discovery.kubernetes)
        for name in configuration.kernel.unavailable_hooks:
            _check_hook(name)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_explain(str(error), origins, str(path or "configuration"))) from error
    return configuration


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_mapping(path, "core:")
    except YamlFileError as error:
        raise ConfigurationError(str(error)) from error


def _expand(tree: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - YAML holds anything
    """Replace values of the form ${VARIABLE:default}; leave out keys without a value."""
    if isinstance(tree, dict):
        expanded = {str(key): _expand(value, environment) for key, value in tree.items()}
        return {key: value for key, value in expanded.items() if value is not None}
    if isinstance(tree, list):
        return [_expand(value, environment) for value in tree]
    match = _VARIABLE.match(tree) if isinstance(tree, str) else None
    if match:
        default = match[2] or ""
        # The braces of a template are none of YAML.
        return environment.get(match[1]) or (default if "{{" in default else yaml.safe_load(default))
    return tree


def _set(tree: dict[str, Any], key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            return  # the wrong form is reported by the conversion
        tree = below
    tree[name] = value


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _decode(wanted: type, value: object) -> object:
    if wanted is Duration:
        return Duration.parse(value)
    raise NotImplementedError(wanted)


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


def _explain(message: str, origins: Mapping[str, str], file: str) -> str:
    unknown = _UNKNOWN_KEY.search(message)
    if unknown:
        path = (unknown["path"] or "").lstrip(".")
        key = f"{path}.{unknown['key']}" if path else unknown["key"]
        near = difflib.get_close_matches(unknown["key"], _keys(path), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(_keys(path))}"
        return f"{origins.get(key, file)}: unknown key {key!r}; {hint}"
    at = _AT.search(message)
    if at is None:
        return f"{file}: {message}"
    return f"{origins.get(at['path'], file)}: {at['path']}: {message[: at.start()]}"


def _keys(path: str) -> list[str]:
    """The keys of the section at a path such as "core.backend" or "discovery.service_rules[0]"."""
    section: type[msgspec.Struct] = Configuration
    for name in filter(None, path.split(".")):
        if name.partition("[")[0] in _ELEMENTS:
            return list(_ELEMENTS[name.partition("[")[0]].__struct_fields__)
        section = next(field.type for field in msgspec.structs.fields(section) if field.name == name)
    return list(section.__struct_fields__)
