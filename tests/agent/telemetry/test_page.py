"""docs/agent-metrics.md is the page that the declarations make."""

import re

from agent.telemetry.families import FAMILIES
from agent.telemetry.page import PAGE, render


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == render(), "make it again: python -m agent.telemetry.page"


def test_the_page_has_every_figure_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", render(), re.MULTILINE)
    assert rows == [
        (family.name, family.kind, ", ".join(f"`{label}`" for label in family.labels), family.meaning)
        for family in FAMILIES
    ]


def test_the_page_names_no_figure_that_is_not_there() -> None:
    named = set(re.findall(r"\bpyrover_agent_\w+", render()))
    assert named == {family.name for family in FAMILIES if family.name.startswith("pyrover_agent_")}
