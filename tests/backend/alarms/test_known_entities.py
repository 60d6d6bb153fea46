"""Numbers of entities, and what filters say of them, against the filters themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alarms import known_entities
from backend.alarms.known_entities import KnownEntities
from backend.alarms.rules import NameFilter, Pattern
from backend.entities.ids import service_id

NAMES = ["a-1", "a-2", "b-1", ""]
IDS = {service_id(name): name or "_blank" for name in NAMES} | {"no id": None}
FILTERS = [
    NameFilter(),
    NameFilter(included=frozenset({"a-1", "b-1"})),
    NameFilter(excluded=frozenset({"_blank"}), included_pattern=Pattern(".*1|_.*")),
]

asked = st.lists(st.sampled_from(list(IDS)))


@given(st.lists(st.tuples(asked, st.sampled_from(FILTERS), st.booleans())))
def test_filters_say_the_same_of_numbers_as_of_names(steps: list[tuple[list[str], NameFilter, bool]]) -> None:
    known = KnownEntities("K8SService")
    seen: dict[str, None] = {}
    for entities, names, forget in steps:
        numbers = known.numbers(entities)
        seen |= dict.fromkeys(entities)
        assert list(map(known.text, numbers.tolist())) == entities
        assert len(known) == len(seen)
        found = [IDS[entity] for entity in entities]
        assert known.with_names(numbers).tolist() == [name is not None for name in found]
        assert known.taken(names, numbers).tolist() == [name is not None and names.takes(name) for name in found]
        assert list(map(known.text, known.by_id(numbers).tolist())) == sorted(entities)
        if forget:
            known.keep_filters([])


def test_each_name_is_asked_about_once_as_long_as_its_filter_is_used() -> None:
    asked_of = []

    class Asking(Pattern):
        """A pattern that keeps what it was asked."""

        def fits(self, name: str) -> bool:
            asked_of.append(name)
            return super().fits(name)

    names = NameFilter(included_pattern=Asking("a.*"))
    known = KnownEntities("K8SService")
    for services in (["a-1"], ["a-1", "b-1"], ["b-1", "a-2"]):
        known.taken(names, known.numbers([service_id(service) for service in services]))
        known.keep_filters([names])
    assert asked_of == ["a-1", "b-1", "a-2"]
    known.keep_filters([])
    assert known.taken(names, np.array([2, 0])).tolist() == [True, True]
    assert asked_of == ["a-1", "b-1", "a-2"] * 2


def test_all_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_entities, "MAXIMUM_KNOWN", 2)
    known = KnownEntities("K8SService")
    known.numbers([service_id("a-1"), service_id("a-2")])
    assert known.renewed() is known
    known.numbers([service_id("b-1")])
    renewed = known.renewed()
    assert len(renewed) == 0
    assert renewed.with_names(renewed.numbers(["no id", service_id("b-1")])).tolist() == [False, True]
