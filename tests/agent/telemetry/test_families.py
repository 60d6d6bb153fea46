"""agent/telemetry/families.py: names as Prometheus has them, each once."""

import re

from agent.telemetry import families
from agent.telemetry.families import FAMILIES, Kind


def test_all_are_listed_once() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    declared = [value for value in vars(families).values() if isinstance(value, families.Family)]
    assert list(FAMILIES) == declared


def test_names_say_what_kind_they_are() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"(pyrover_agent|process)_[a-z_]+", family.name), family.name
        assert family.name.endswith("_total") is (family.kind is Kind.COUNTER), family.name
        assert all(re.fullmatch(r"[a-z_]+", label) for label in family.labels), family.name


def test_meanings_are_sentences() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"[A-Z].{10,}\.", family.meaning), family.name
