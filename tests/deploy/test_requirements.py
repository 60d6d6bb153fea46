"""What goes into the image of the agent: what it imports, pinned as everything else is, and nothing more."""

import subprocess
import sys

import pytest

from deploy.images.requirements import chosen, pinned
from tests.e2e.programs import ROOT

RUNTIME = ROOT / "requirements" / "runtime.txt"
AGENT = ROOT / "deploy" / "images" / "agent.txt"

# Every module of the agent, with nothing of the distribution's.
IMPORTS = """
import importlib, pkgutil, sys
import agent, common
for package in (agent, common):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("loader_child"):
            importlib.import_module(found.name)
from importlib.metadata import packages_distributions
named = packages_distributions()
print(*sorted({each.lower().replace('_', '-') for name in set(sys.modules) & set(named) for each in named[name]}))
"""


def test_the_agent_gets_what_it_imports_and_nothing_else() -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {name for name, _ in pinned(chosen(RUNTIME.read_text(), AGENT.read_text()))}
    assert set(answer.stdout.split()) - {"pyrover", "setuptools"} == listed


def test_requirements_are_taken_with_their_hashes_and_markers() -> None:
    everything = dict(pinned(RUNTIME.read_text()))
    assert everything
    lines = chosen(RUNTIME.read_text(), AGENT.read_text())
    assert lines.count("--hash=sha256:") == sum(
        requirement.count("--hash=sha256:")
        for name, requirement in pinned(RUNTIME.read_text())
        if name in {line.strip() for line in AGENT.read_text().splitlines()}
    )
    assert everything["msgspec"] in lines
    assert "polars" not in lines


def test_what_is_not_pinned_is_refused() -> None:
    with pytest.raises(SystemExit, match="not pinned: absent, missing; add what depends on it"):
        chosen("h2==1 \\\n    --hash=sha256:0\n", "# a comment\nh2\nmissing\n\nabsent\n")
