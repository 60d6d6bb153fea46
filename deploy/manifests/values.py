"""What a user of the chart sets, with the defaults, which are also what kustomize gets."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PROJECT: Final = Path(__file__).resolve().parents[2] / "pyproject.toml"

VERSION: Final[str] = tomllib.loads(_PROJECT.read_text())["project"]["version"]
"""Of the programs, and by default of their images."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value.

    Attributes:
        path: of the value, such as "backend.replicas".
        default: what it is when nobody sets it.
        meaning: what it does, in a few words.
    """

    path: str
    default: Any
    meaning: str


SETTINGS: Final = (
    Setting("agent.enabled", default=True, meaning="Install the agents."),
    Setting("agent.image.repository", "pyrover-agent", "Image made with deploy/images/agent.Containerfile."),
    Setting("agent.image.tag", VERSION, "Its tag."),
    Setting("agent.image.pullPolicy", "IfNotPresent", "When it is pulled."),
    Setting("agent.backendAddress", "pyrover-backend:11800", "Where access logs go, as HOST:PORT."),
    Setting("agent.clusterName", "", "Name of the cluster, put before the names of services when there are several."),
    Setting("agent.tolerations", [{"operator": "Exists"}], "Tainted nodes that get an agent; by default all."),
    Setting("agent.nodeSelector", {"kubernetes.io/os": "linux"}, "Labels of the nodes that get an agent."),
    Setting(
        "agent.resources",
        {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "Of an agent. The compiler takes some 120 MB more for a few seconds at the start.",
    ),
    Setting(
        "agent.seccompProfile",
        {"type": "RuntimeDefault"},
        "System calls that the agent may make; docs/install-kubernetes.md names a narrower profile.",
    ),
    Setting("backend.enabled", default=True, meaning="Install a backend, or several."),
    Setting("backend.image.repository", "pyrover-backend", "Image made with deploy/images/backend.Containerfile."),
    Setting("backend.image.tag", VERSION, "Its tag."),
    Setting("backend.image.pullPolicy", "IfNotPresent", "When it is pulled."),
    Setting("backend.storage", "clickhouse", "clickhouse: several backends; duckdb: one, with a volume of its own."),
    Setting("backend.replicas", 2, "Number of backends, with clickhouse."),
    Setting("backend.volumeSize", "20Gi", "Of the volume, with duckdb; docs/storage.md says what metrics take."),
    Setting(
        "backend.resources",
        {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
        "Of a backend.",
    ),
    Setting(
        "security.tokens",
        "variable",
        "files: tokens are asked for everywhere, those of the Secret pyrover-tokens; variable: agents send the token of"
        " the Secret pyrover-backend, if there is one, and the console is open.",
    ),
    Setting(
        "security.tls",
        "none",
        "files: backends show the certificate of the Secret pyrover-backend-tls; none: everything is in plain text.",
    ),
    Setting("clickhouse.enabled", default=True, meaning="Install a ClickHouse server; false to use one that is there."),
    Setting("clickhouse.host", "clickhouse", "Where it is."),
    Setting("clickhouse.port", 9000, "Its port for native clients."),
    Setting("clickhouse.image", "clickhouse/clickhouse-server:24.8", "Of the server that is installed."),
    Setting("clickhouse.volumeSize", "50Gi", "Of its volume."),
    Setting(
        "clickhouse.resources",
        {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        "Of the server.",
    ),
    Setting(
        "podMonitor.enabled",
        default=False,
        meaning="Tell the Prometheus operator to ask each backend and each agent for its figures.",
    ),
)


def defaults() -> dict[str, Any]:
    """All defaults, as a tree."""
    tree: dict[str, Any] = {}
    for setting in SETTINGS:
        put(tree, setting.path, setting.default)
    return tree


def put(tree: dict[str, Any], path: str, value: Any) -> None:  # noqa: ANN401 - a user's values are of any type
    """Set the value at a path; sections are made as needed."""
    *sections, name = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[name] = value
