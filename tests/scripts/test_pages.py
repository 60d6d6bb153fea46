"""Pages for people: each is found from the README, and what they name exists: pages, headings and tests."""

import itertools
import re
from pathlib import Path

import pytest

from tests.scripts.page_commands import PAGES, ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(
    r"`((?:agent|backend|bench|bpf|common|deploy|docs|protos|requirements|scripts|tests|vagrant)/[\w./*-]+)`"
)
_TEST = re.compile(r"\b(tests/[\w/*]+(?:\.py)?)(?:::(test_\w+)(\.\.\.)?)?")


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_listed_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"(docs/{page.name})" not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(_FILE.findall(page.read_text())) - {"backend/console/vendor/"}  # which set-up makes, and git ignores
    assert [name for name in sorted(named) if not any(ROOT.glob(name))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for path, name, is_cut in _TEST.findall(page.read_text()):
        files = [file for file in ROOT.glob(path) if file.exists()]
        assert files, path
        if name and not is_cut:
            assert re.search(rf"^(async )?def {name}\(", files[0].read_text(), re.MULTILINE), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_one_title_and_no_level_is_left_out(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels


def test_the_glossary_is_in_the_order_of_the_alphabet() -> None:
    words = re.findall(r"^\| `?(\w[^|`]*?)`? \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[1:]
    assert len(words) >= 40
    assert words == sorted(words, key=str.lower)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_one_thing_has_one_word(page: Path) -> None:
    """Words of the glossary, and not those of others; what is said as others say it stands in brackets there."""
    if page.name != "glossary.md":
        assert re.findall(r"\bpackets?\b(?! capture)", page.read_text()) == [], "the glossary says package"
        assert re.findall(r"`python3? -m ", page.read_text()) == [], "say .venv/bin/python"
