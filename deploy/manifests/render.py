"""Writes the declared objects to deploy/kubernetes, for kustomize, and to deploy/chart, for Helm.

    .venv/bin/python -m deploy.manifests.render

Both are made from the same declarations, so they cannot differ; a test makes them again and compares.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.manifests import agent, backend, clickhouse, monitoring
from deploy.manifests.nodes import NAMESPACE, Condition, Node, When, resolved
from deploy.manifests.text import document
from deploy.manifests.values import SETTINGS, VERSION, defaults, put

DEPLOY: Final = Path(__file__).resolve().parent.parent
_MADE: Final = (
    "# Made by `python -m deploy.manifests.render`. Do not edit: change deploy/manifests and make it again.\n"
)
_NAMESPACE: Final = "pyrover"
_ADMITTED: Final = {"pod-security.kubernetes.io/enforce": "privileged"}
"""Labels of the namespace: a cluster may admit no pods beyond the standard `baseline`, and those of agents are."""
_SECURED: Final = {"tokens": "files", "tls": "files"}
"""The section `security` of what deploy/kubernetes/secured has."""

_CLICKHOUSE: Final = Condition("backend.storage", "clickhouse")
_DUCKDB: Final = Condition("backend.storage", "duckdb")
_BACKEND: Final = Condition("backend.enabled")


@dataclass(frozen=True, slots=True)
class Part:
    """Objects that are installed together.

    Attributes:
        folder: of deploy/kubernetes that they are in.
        name: of their file.
        objects: the objects.
        tests: when the chart has them.
    """

    folder: str
    name: str
    objects: list[Node]
    tests: tuple[Condition, ...]


def parts() -> list[Part]:
    """Everything."""
    return [
        Part("common", "agent", agent.objects(), (Condition("agent.enabled"),)),
        Part("common", "backend", backend.shared_objects(), (_BACKEND,)),
        Part("clickhouse", "backends", backend.with_clickhouse(), (_BACKEND, _CLICKHOUSE)),
        Part("clickhouse", "clickhouse", clickhouse.objects(), (Condition("clickhouse.enabled"), _CLICKHOUSE)),
        Part("duckdb", "backend-with-duckdb", backend.with_duckdb(), (_BACKEND, _DUCKDB)),
        Part("monitoring", "monitoring", monitoring.objects(), (Condition("podMonitor.enabled"),)),
    ]


def files() -> dict[Path, str]:
    """The text of every file that is made, by its path below deploy/."""
    return dict(_kustomize()) | dict(_chart())


def _kustomize() -> Iterator[tuple[Path, str]]:
    values = {**defaults(), **_section(NAMESPACE, _NAMESPACE)}
    yield from _kustomized(Path("kubernetes"), values)
    values["security"] = _SECURED
    yield from _kustomized(Path("kubernetes/secured"), values)


def _kustomized(below: Path, values: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """The folders of all parts with these values."""
    folders: dict[str, list[str]] = {"common": ["namespace.yaml"]}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE, "labels": _ADMITTED}}
    yield below / "common/namespace.yaml", _MADE + document(namespace)
    for part in parts():
        folders.setdefault(part.folder, []).append(f"{part.name}.yaml")
        texts = [document(resolved(node, values, keep_comments=True)) for node in part.objects]
        yield below / part.folder / f"{part.name}.yaml", _MADE + "---\n".join(texts)
    for folder, names in folders.items():
        yield below / folder / "kustomization.yaml", _MADE + document({"resources": names})


def _chart() -> Iterator[tuple[Path, str]]:
    chart = {
        "apiVersion": "v2",
        "name": "pyrover",
        "description": "Watches the network calls of every node and explains them",
        "type": "application",
        "version": VERSION,
        "appVersion": VERSION,
        "kubeVersion": ">=1.30.0-0",
    }
    yield Path("chart/Chart.yaml"), _MADE + document(chart)
    yield Path("chart/values.yaml"), _MADE + _values()
    for part in parts():
        texts = [document(When(part.tests, node)) for node in part.objects]
        yield Path("chart/templates", f"{part.name}.yaml"), _MADE + "---\n".join(texts)


def _values() -> str:
    """The defaults, each below what it means."""
    lines: list[str] = []
    sections: list[str] = []
    for setting in SETTINGS:
        *above, name = setting.path.split(".")
        for depth, section in enumerate(above):
            if sections[: depth + 1] != above[: depth + 1]:
                lines.append(f"{'  ' * depth}{section}:")
                sections = above[: depth + 1]
        sections = above
        indent = "  " * len(above)
        lines += [f"{indent}# {setting.meaning}", f"{indent}{name}: {json.dumps(setting.default)}"]
    return "\n".join(lines) + "\n"


def _section(path: str, value: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    put(tree, path, value)
    return tree


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        (DEPLOY / path).parent.mkdir(parents=True, exist_ok=True)
        (DEPLOY / path).write_text(text)


if __name__ == "__main__":
    main()
