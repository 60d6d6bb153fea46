"""docs/discovery.md says what is."""

import re
from pathlib import Path

import pytest

from agent.config_discovery import ANALYZERS
from agent.config_loading import load_configuration
from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.expressions import FUNCTIONS
from agent.discovery.kubernetes.members import MEMBERS, Kind
from tests.agent.discovery.kubernetes.pods import names

PAGE = (Path(__file__).parents[4] / "docs" / "discovery.md").read_text()
FIRST, SHOWN = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_analyzers_shown_are_those_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(SHOWN)
    assert load_configuration(file, {}).process_discovery.kubernetes.analyzers == ANALYZERS


def test_the_first_lines_are_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(FIRST)
    kubernetes = load_configuration(file, {"NODE_NAME": "node-7"}).process_discovery.kubernetes
    assert (kubernetes.active, kubernetes.node_name) == (True, "node-7")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind in MEMBERS])
def test_every_field_is_listed(kind: Kind) -> None:
    (row,) = re.findall(rf"^\| `{re.escape(kind.value)}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)", row)) == set(MEMBERS[kind])


def test_every_function_is_listed() -> None:
    (row,) = re.findall(r"^\| functions \| (.*) \|$", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == list(FUNCTIONS)


def test_everything_counted_is_explained() -> None:
    for cause in names(PodBook()).losses():
        assert re.search(rf"^\| `{cause}` \| \w", PAGE, re.MULTILINE), cause
