"""`python -m bench`: every benchmark is listed, says in a sentence what it measures, and is on the page."""

import re
from pathlib import Path

import pytest

from bench.__main__ import benchmarks

ROOT = Path(__file__).resolve().parents[2]
LISTED = benchmarks()


def test_what_has_a_main_function_is_listed() -> None:
    programs = {path.stem for path in (ROOT / "bench").glob("*.py") if "\ndef main(" in path.read_text()}
    assert LISTED.keys() == {f"bench.{name}" for name in programs - {"__main__"}}
    assert {"bench.soak", "bench.agent_load"} <= LISTED.keys()
    assert "bench.report" not in LISTED


@pytest.mark.parametrize("module", LISTED)
def test_each_says_what_it_measures_and_is_on_the_page(module: str) -> None:
    assert re.fullmatch(r"[^.]{20,}[.?]", LISTED[module]), LISTED[module]
    pages = (ROOT / "docs" / "benchmarks.md").read_text() + (ROOT / "docs" / "soak.md").read_text()
    command = "make bench-ingest" if module == "bench.ingest" else module
    assert re.search(rf"{re.escape(command)}\b", pages)
