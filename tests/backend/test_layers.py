"""Data flows one way: no part of the backend knows of one above it (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KNOWN = {
    "ingest": set(),
    "storage": set(),
    "agents": {"ingest"},
    "entities": {"ingest"},
    "replay": {"ingest"},
    "oal": {"entities", "ingest", "storage"},
    "metrics": {"entities", "ingest", "oal", "storage"},
    "query": {"agents", "entities", "metrics", "oal", "storage"},
    "alarms": {"entities", "metrics", "oal", "query", "storage"},
    "dashboards": {"oal", "query"},
    "console": {"dashboards"},
}
"""What each part may import of the others. `server` and `commands` put the parts together: they may import all."""


def _imported(file: Path) -> set[str]:
    """The parts of the backend that a file imports, wherever in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [module.split(".") for module in modules]
    return {path[1] for path in parts if path[0] == "backend" and len(path) > 1}


def test_every_part_is_in_the_list() -> None:
    folders = {folder.parent.name for folder in (ROOT / "backend").glob("*/__init__.py")}
    assert folders == KNOWN.keys() | {"server", "commands"}


@pytest.mark.parametrize("part", KNOWN)
def test_a_part_imports_none_above_it(part: str) -> None:
    strangers = {
        str(file.relative_to(ROOT)): unknown
        for file in (ROOT / "backend" / part).rglob("*.py")
        if (unknown := _imported(file) - KNOWN[part] - {part, "telemetry"})
    }
    assert strangers == {}
