"""Numbers for entities, so that what a minute says of them are arrays, and what their names say is asked once."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.alarms.names import named
from backend.alarms.rules import NameFilter

MAXIMUM_KNOWN = 200_000
"""Most entities of a scope that are remembered from minute to minute; with more of them all are forgotten, and those
that come again are numbered anew. With 200,000 of them it is some 40 MB."""

Numbers = NDArray[np.int64]
"""Numbers of entities."""
Mask = NDArray[np.bool_]
"""Something that is true or false of each of several entities."""

_EVERY = NameFilter()


class KnownEntities:
    """The entities of one scope, numbered from 0 in the order in which they came. For one thread.

    Args:
        scope: The scope of metrics, one of names.SCOPES.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._judged: dict[NameFilter, Mask] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def renewed(self) -> "KnownEntities":
        """This, or an empty one of the same scope when it knows more than MAXIMUM_KNOWN."""
        return self if len(self) <= MAXIMUM_KNOWN else KnownEntities(self._scope)

    def numbers(self, entities: Sequence[str]) -> Numbers:
        """The number of each entity, given by its id. Those that are not known become so."""
        known = self._numbers
        try:
            found = [known[entity] for entity in entities]
        except KeyError:
            for entity in entities:
                if entity not in known:
                    known[entity] = len(self._texts)
                    self._texts.append(entity)
            found = [known[entity] for entity in entities]
        return np.array(found, np.int64)

    def text(self, number: int) -> str:
        """The id of an entity."""
        return self._texts[number]

    def with_names(self, numbers: Numbers) -> Mask:
        """Which of the entities have a name: ids that are none of this scope have not."""
        return self._judgement(_EVERY)[numbers]

    def taken(self, names: NameFilter, numbers: Numbers) -> Mask:
        """Which of the entities have a name that a filter lets through."""
        return self._judgement(names)[numbers]

    def by_id(self, numbers: Numbers) -> Numbers:
        """Entities in the order of their ids."""
        return np.array(sorted(numbers.tolist(), key=self._texts.__getitem__), np.int64)

    def keep_filters(self, filters: Collection[NameFilter]) -> None:
        """Forget what all other filters said."""
        for names in self._judged.keys() - {_EVERY, *filters}:
            del self._judged[names]

    def _judgement(self, names: NameFilter) -> Mask:
        """What a filter says of all that are known. Each is asked about once."""
        judged = self._judged.get(names)
        done = 0 if judged is None else len(judged)
        if judged is None or done < len(self._texts):
            new = np.array([self._judge(names, entity) for entity in self._texts[done:]], np.bool_)
            judged = new if judged is None else np.concatenate([judged, new])
            self._judged[names] = judged
        return judged

    def _judge(self, names: NameFilter, entity: str) -> bool:
        try:
            return names.takes(named(self._scope, entity).name)
        except ValueError:
            return False
