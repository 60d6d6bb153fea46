"""What can be set of the agent.

Keys that mean the same as in SkyWalking Rover have the same names and environment variables. Each key is declared
once, here or in agent/config_discovery.py, with its variable and its meaning; docs/agent-configuration.md is made of
that.
"""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from agent.config_discovery import ProcessDiscovery
from agent.config_durations import Duration
from agent.config_key import Key, walk
from agent.config_level import Level
from agent.discovery.naming import ServiceRule

Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of keys."""


class Logger(_Section, frozen=True):
    """What the agent says while it runs."""

    level: Annotated[
        Level,
        Key(
            "ROVER_LOGGER_LEVEL", "`DEBUG`, `INFO`, `WARNING` or `ERROR`: messages of this level and of those above it"
        ),
    ] = Level("INFO")
    format: Annotated[
        Literal["text", "json"],
        Key(
            "ROVER_LOGGER_FORMAT",
            "`text`: lines for people; `json`: an object a line (agent-metrics.md); `--log-format`",
        ),
    ] = "text"


class Backend(_Section, frozen=True):
    """Where access logs and reports go."""

    addr: Annotated[
        str,
        Key(
            "ROVER_BACKEND_ADDR",
            "`HOST:PORT`, or several separated by commas: when one fails the next one is taken (agent.md)",
        ),
    ] = "localhost:11800"
    enable_TLS: Annotated[  # noqa: N815 - the key's established spelling
        bool, Key("ROVER_BACKEND_ENABLE_TLS", "whether the backend is spoken to by TLS")
    ] = False
    ca_pem_path: Annotated[
        str,
        Key("ROVER_BACKEND_CA_PEM_PATH", "file with the authorities that vouch for the backend; empty: the system's"),
    ] = ""
    client_pem_path: Annotated[
        str, Key("ROVER_BACKEND_PEM_PATH", "file with the certificate that the agent shows; empty: none")
    ] = ""
    client_key_path: Annotated[str, Key("ROVER_BACKEND_KEY_PATH", "file with the key of that certificate")] = ""
    insecure_skip_verify: Annotated[
        bool,
        Key(
            "ROVER_BACKEND_INSECURE_SKIP_VERIFY",
            "whether any certificate of the backend is taken: whoever sits between may then read and change everything",
        ),
    ] = False
    authentication: Annotated[
        str, Key("ROVER_BACKEND_AUTHENTICATION", 'sent with each call as metadata "authentication"', secret=True)
    ] = ""
    authentication_file: Annotated[
        str,
        Key(
            "ROVER_BACKEND_AUTHENTICATION_FILE",
            "file whose first line is sent so instead; it is read again when it changes (security.md)",
        ),
    ] = ""
    denied_period: Annotated[
        Duration,
        Key(
            "ROVER_BACKEND_DENIED_PERIOD",
            "how long logs are kept while no backend takes the token or the certificate; then they are lost, `denied`",
        ),
    ] = Duration(600.0)


class Core(_Section, frozen=True):
    """What every part of the agent shares."""

    cluster_name: Annotated[
        str,
        Key("ROVER_CORE_CLUSTER_NAME", "told with the node; put before the names of services with `::` between them"),
    ] = ""
    backend: Backend = Backend()


class Flush(_Section, frozen=True):
    """When collected logs are sent: after this time or at this number, whichever comes first."""

    max_count: Annotated[Positive, Key("ROVER_ACCESS_LOG_FLUSH_MAX_COUNT", "at so many logs they are sent")] = 10_000
    period: Annotated[
        Duration, Key("ROVER_ACCESS_LOG_FLUSH_PERIOD", "after this time they are sent; `--flush-period`")
    ] = Duration(5.0)


class AccessLog(_Section, frozen=True):
    """What is sent."""

    active: Annotated[
        bool,
        Key(
            "ROVER_ACCESS_LOG_ACTIVE",
            "whether access logs are told; `false`: processes are reported, and nothing is attached to the kernel",
        ),
    ] = True
    exclude_namespaces: Annotated[
        str,
        Key(
            "ROVER_ACCESS_LOG_EXCLUDE_NAMESPACES",
            "separated by commas; nothing is told of their pods, and the backend is told so",
        ),
    ] = ""
    exclude_cluster: Annotated[
        str,
        Key("ROVER_ACCESS_LOG_EXCLUDE_CLUSTER", "separated by commas; nothing is told of services of these clusters"),
    ] = ""
    flush: Flush = Flush()


class Node(_Section, frozen=True):
    """This machine."""

    name: Annotated[
        str,
        Key(
            "ROVER_NODE_NAME",
            "name of the node, and instance of every service on a host; empty: the host name",
            also=("ROVER_PROCESS_DISCOVERY_KUBERNETES_NODE_NAME",),
        ),
    ] = ""


class Rule(_Section, frozen=True):
    """A rule that names services; at least one of the conditions must be there, and all that are must hold."""

    service: Annotated[
        str, Key("", "name of the service; `\\1` or `\\g<name>` is a group of `command_line`, else of `executable`")
    ]
    command_line: Annotated[str, Key("", "regular expression, searched in the arguments joined by spaces")] = ""
    executable: Annotated[str, Key("", "regular expression, searched in the path of the program")] = ""
    port: Annotated[Port | None, Key("", "a port that the process listens on")] = None


class Discovery(_Section, frozen=True):
    """How processes are read and named."""

    proc: Annotated[str, Key("ROVER_HOST_PROC_MAPPING", "where the host's /proc is mounted")] = "/proc"
    reported: Annotated[
        bool,
        Key("ROVER_DISCOVERY_REPORTED", "whether the backend is told which processes outside of pods there are"),
    ] = True
    layer: Annotated[
        str, Key("ROVER_DISCOVERY_LAYER", "layer of their services in these reports; SkyWalking has a list of them")
    ] = "K8S_SERVICE"
    service_rules: Annotated[tuple[Rule, ...], Key("", "the first rule that holds names the service (agent.md)")] = ()


class Kernel(_Section, frozen=True):
    """How events are captured."""

    attach: Annotated[
        Literal["auto", "fentry", "kprobe", "tracepoint"],
        Key(
            "ROVER_KERNEL_ATTACH",
            "kind of hooks: `fentry`, `kprobe`, `tracepoint`, or `auto`, the best of them for each; `--attach`",
        ),
    ] = "auto"
    ring_bytes: Annotated[
        Positive, Key("ROVER_KERNEL_RING_BYTES", "size of the ring of events, a power of two; `--ring-bytes`")
    ] = 4 * 1024 * 1024
    payload_bytes: Annotated[
        Positive, Key("ROVER_KERNEL_PAYLOAD_BYTES", "size of the ring of captured payload, a power of two")
    ] = 8 * 1024 * 1024
    unavailable_hooks: Annotated[
        tuple[str, ...],
        Key(
            "ROVER_KERNEL_UNAVAILABLE_HOOKS",
            "hooks that are not to be used, in the variable separated by commas; hooks.md says what is lost",
        ),
    ] = ()


class Conntrack(_Section, frozen=True):
    """Finding the real far end of connections whose destination is translated on the way."""

    enabled: Annotated[
        bool, Key("ROVER_CONNTRACK_ENABLED", "whether connection tracking is asked for them (conntrack.md)")
    ] = True


class Tls(_Section, frozen=True):
    """Reading the plain text of TLS connections, where libraries take it from programs and give it to them."""

    enabled: Annotated[
        bool, Key("ROVER_TLS_ENABLED", "whether probes are put into libraries and programs for that (tls.md)")
    ] = True


class Telemetry(_Section, frozen=True):
    """What the agent says of itself; docs/agent-metrics.md."""

    address: Annotated[
        str,
        Meta(pattern=r"^$|^(\[[0-9A-Fa-f:.%]+\]|[\w.-]*):[0-9]{1,5}$"),
        Key(
            "ROVER_TELEMETRY_ADDRESS",
            "`HOST:PORT` where it answers questions about itself by HTTP (agent-metrics.md); without a host all"
            " addresses; empty: nowhere",
            takes="HOST:PORT, such as localhost:9000, [::1]:9000 or :9000, or nothing",
        ),
    ] = ""
    program_statistics: Annotated[
        bool,
        Key(
            "ROVER_TELEMETRY_PROGRAM_STATISTICS",
            "whether the kernel measures the time that each program takes, which costs some time itself",
        ),
    ] = False


class Spool(_Section, frozen=True):
    """Batches that have no answer yet, kept on a disk for the next agent; docs/delivery.md."""

    folder: Annotated[
        str,
        Key(
            "ROVER_SPOOL_FOLDER",
            "where they are: a folder for this agent alone; empty: in memory, and lost with the agent (delivery.md)",
        ),
    ] = ""
    bytes: Annotated[Positive, Key("ROVER_SPOOL_BYTES", "most bytes of them; the oldest go first")] = 256 * 1024 * 1024


class Limits(_Section, frozen=True):
    """Bounds of what the agent keeps. What does not fit is counted."""

    connections: Annotated[Positive, Key("ROVER_LIMITS_CONNECTIONS", "connections that are followed")] = 65_536
    processes: Annotated[Positive, Key("ROVER_LIMITS_PROCESSES", "processes that are known")] = 8_192
    listeners: Annotated[Positive, Key("ROVER_LIMITS_LISTENERS", "listening sockets that name far ends")] = 16_384
    translations: Annotated[Positive, Key("ROVER_LIMITS_TRANSLATIONS", "translated connections")] = 65_536
    conversations: Annotated[
        Positive, Key("ROVER_LIMITS_CONVERSATIONS", "connections and TLS sessions whose HTTP is read")
    ] = 16_384
    network_namespaces: Annotated[
        Positive, Key("ROVER_LIMITS_NETWORK_NAMESPACES", "network namespaces listened to for translations")
    ] = 256
    unnamed_logs: Annotated[
        Positive, Key("ROVER_LIMITS_UNNAMED_LOGS", "logs that wait for what the API server tells of their pods")
    ] = 100_000
    queue_logs: Annotated[Positive, Key("ROVER_LIMITS_QUEUE_LOGS", "logs that wait for the backend")] = 200_000
    queue_bytes: Annotated[Positive, Key("ROVER_LIMITS_QUEUE_BYTES", "and their size")] = 16 * 1024 * 1024


class Configuration(_Section, frozen=True):
    """Everything that can be set."""

    logger: Logger = Logger()
    core: Core = Core()
    access_log: AccessLog = AccessLog()
    process_discovery: ProcessDiscovery = ProcessDiscovery()
    node: Node = Node()
    discovery: Discovery = Discovery()
    kernel: Kernel = Kernel()
    conntrack: Conntrack = Conntrack()
    tls: Tls = Tls()
    telemetry: Telemetry = Telemetry()
    spool: Spool = Spool()
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


KEYS: Final = dict(walk(Configuration))
"""How each key was declared, by its path."""
ENVIRONMENT: Final = {
    **{variable: path for path, field in KEYS.items() if field.key for variable in field.key.also},
    **{field.key.variable: path for path, field in KEYS.items() if field.key and field.key.variable},
}
"""Key by environment variable. An empty variable counts as unset; of two for one key the later one wins."""
