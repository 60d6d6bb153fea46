"""docs/agent-configuration.md is what the declarations make."""

import re
from pathlib import Path

import pytest

from agent.config import ENVIRONMENT, KEYS
from agent.config_loading import load_configuration
from agent.config_page import PAGE, render


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == render(), "run `make agent-configuration`"


@pytest.mark.parametrize("key", KEYS)
def test_each_key_stands_in_a_row_with_its_variable_and_a_meaning(key: str) -> None:
    (row,) = re.findall(rf"^\| `{re.escape(key)}` \|.*\|$", render(), re.MULTILINE)
    _, variables, _, meaning = row.strip("| ").split(" | ")
    assert {variable for variable, of in ENVIRONMENT.items() if of == key} == set(re.findall(r"`(\w+)`", variables))
    assert len(meaning) > 3


def test_the_file_shown_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", render(), re.DOTALL)
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    loaded = load_configuration(file, {})
    assert loaded.core.backend.addr == "backend-0.example:11800,backend-1.example:11800"
    assert loaded.access_log.flush.period == 2.0
