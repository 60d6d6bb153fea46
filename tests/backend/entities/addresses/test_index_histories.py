"""Whatever happened to a cluster, its index says what one says that was built from what is there now."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backend.entities.addresses.claims import Answer, Key
from tests.backend.entities.addresses.histories import OBJECTS, Object, answers, from_scratch, key_of
from tests.backend.entities.addresses.world import RESOURCES, World


class IndexHistories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.objects: dict[str, dict[tuple[str, str], Object]] = {kind: {} for kind in RESOURCES}
        self.before: tuple[int, dict[Key, Answer]] = (self.world.index.version, {})

    @rule(added=OBJECTS)
    def put(self, added: tuple[str, Object]) -> None:
        kind, manifest = added
        self.objects[kind][key_of(manifest)] = manifest
        self.world.put(kind, manifest)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        there = [(kind, key) for kind, objects in self.objects.items() for key in objects]
        if there:
            kind, key = data.draw(st.sampled_from(there))
            self.world.remove(kind, self.objects[kind].pop(key))

    @rule(removed=OBJECTS)
    def remove_what_may_not_be_there(self, removed: tuple[str, Object]) -> None:
        kind, manifest = removed
        self.objects[kind].pop(key_of(manifest), None)
        self.world.remove(kind, manifest)

    @rule(missed=st.lists(OBJECTS, max_size=4), kind=st.sampled_from(sorted(RESOURCES)), keeps=st.booleans())
    def list_again(self, missed: list[tuple[str, Object]], kind: str, *, keeps: bool) -> None:
        if not keeps:
            self.objects[kind].clear()
        self.objects[kind] |= {key_of(manifest): manifest for of, manifest in missed if of == kind}
        self.world.replace(kind, *self.objects[kind].values())

    @rule(minutes=st.sampled_from([1, 3, 70]))
    def time_passes(self, minutes: int) -> None:
        self.world.now += minutes

    @rule()
    def become_unavailable(self) -> None:
        self.world.index.services.unavailable()

    @invariant()
    def says_what_is_there(self) -> None:
        index = self.world.index
        now = answers(index)
        assert now == from_scratch(self.objects)
        version, before = self.before
        assert now == before or index.version > version
        self.before = index.version, now
        for key, answer in now.items():
            assert index.timeline.find(key, self.world.now) == answer

    @invariant()
    def keeps_nothing_of_what_is_gone(self) -> None:
        index = self.world.index
        named = {
            (kind["metadata"]["namespace"], end["targetRef"]["name"])
            for kind in self.objects["endpointslices"].values()
            for end in kind["endpoints"] or ()
            if "targetRef" in end
        }
        assert set(index._slices_of_pod) == named
        assert set(index._claims._on_key) == set(answers(index))
        owners = {"pod": "pods", "service": "services", "slice": "endpointslices", "node": "nodes"}
        assert all((namespace, name) in self.objects[owners[kind]] for kind, namespace, name in index._claims._of_owner)


TestIndexHistories: Any = IndexHistories.TestCase
TestIndexHistories.settings = settings(max_examples=60, stateful_step_count=25)
