"""docs/compatibility.md: each defect of upstream that was found has a row, and each row a test of its own."""

import re

import pytest

from tests.scripts.page_commands import ROOT

PAGE = ROOT / "docs" / "compatibility.md"
DEFECTS = 24
"""Of the backend, found by reading."""

_ROW = re.compile(r"^\| D(\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> dict[int, tuple[str, str, str]]:
    """By number: what is there, what is here, the tests."""
    return {int(number): (there, here, tests) for number, there, here, tests in _ROW.findall(PAGE.read_text())}


def test_each_defect_has_a_row_in_the_order_of_the_numbers() -> None:
    assert [int(number) for number, *_ in _ROW.findall(PAGE.read_text())] == list(range(1, DEFECTS + 1))


@pytest.mark.parametrize("number", range(1, DEFECTS + 1))
def test_each_row_names_functions_that_exist_and_nothing_else_as_tests(number: int) -> None:
    *_, cell = rows()[number]
    named = _TEST.findall(cell)
    assert named
    assert _TEST.sub("", cell).replace(",", "").strip() == ""
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"


@pytest.mark.parametrize("path", ["tests/backend/test_upstream_defects.py", "tests/backend/test_upstream_metrics.py"])
def test_a_test_with_a_number_is_of_that_row(path: str) -> None:
    numbers = [
        int(number) for number in re.findall(r"^(?:async )?def test_d(\d+)_", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert numbers == sorted(numbers)
    assert {number for number in numbers if f"{path}::test_d{number}_" not in rows()[number][2]} == set()
