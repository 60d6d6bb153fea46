"""Numbers that stand for names and ids in a DuckDB file."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import duckdb
import numpy as np
from numpy.typing import NDArray

from backend.storage.duckdb_statements import Statement
from backend.storage.entity_ids import EntityIds

MAXIMUM_REMEMBERED = 262_144
"""Names whose numbers are remembered, at about 300 bytes each; others are looked up in the file each time."""

_UNKNOWN = 0
"""No name has this number."""


class Names:
    """The numbers of names, with those that were used last in memory. For use by one writer at a time.

    What a transaction numbered holds when it is committed: call `keep` then, and `forget` when it is taken back or when
    names were deleted.
    """

    def __init__(self, maximum: int = MAXIMUM_REMEMBERED) -> None:
        self._maximum = maximum
        self._known: dict[str, int] = {}
        self._new: dict[str, int] = {}
        self._of_ids: WeakKeyDictionary[EntityIds, NDArray[np.int32]] = WeakKeyDictionary()
        """By the numbers that they have there, _UNKNOWN for those that were not asked for."""

    def __len__(self) -> int:
        return len(self._known)

    def number(self, cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of names, in their order; new names are given one."""
        known = self._known
        found = list(map(known.get, texts))
        if None not in found:
            return np.array(found, np.int32)
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            known = known | self._new | self._found(cursor, missing)
        return np.fromiter(map(known.__getitem__, texts), np.int32, len(texts))

    def number_entities(
        self, cursor: duckdb.DuckDBPyConnection, ids: EntityIds, entities: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """The numbers of the names of entities, in their order; new names are given one.

        Args:
            cursor: of the file.
            ids: of entities. What is found is remembered for as long as this object is there, 4 bytes for each id.
            entities: numbers of `ids`.
        """
        known = self._of_ids.get(ids, np.empty(0, np.int32))
        if len(known) < len(ids):
            known = np.concatenate([known, np.full(2 * len(ids) - len(known), _UNKNOWN, np.int32)])
            self._of_ids[ids] = known
        numbers = known[entities]
        if not numbers.all():
            missing = np.unique(entities[numbers == _UNKNOWN])
            known[missing] = self.number(cursor, ids.texts(missing.tolist()))
            numbers = known[entities]
        return numbers

    def keep(self) -> None:
        """Remember what was numbered since the last time."""
        if len(self._known) + len(self._new) > self._maximum:
            self._known = {}
        if len(self._new) <= self._maximum:
            self._known |= self._new
        self._new = {}

    def forget(self) -> None:
        """Remember nothing."""
        self._known, self._new = {}, {}
        self._of_ids.clear()

    def _found(self, cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> dict[str, int]:
        missing = [text for text in texts if text not in self._new]
        found = find_names(cursor, missing)
        if unnamed := [text for text in missing if text not in found]:
            first = (number_of(cursor, Statement.LAST_NAME) or 0) + 1
            found |= {text: first + index for index, text in enumerate(unnamed)}
            cursor.execute(Statement.INSERT_NAMES, {"first": first, "texts": unnamed})
        self._new |= found
        return found


def find_names(cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> dict[str, int]:
    """The numbers of names that are known."""
    if not texts:
        return {}
    return dict(cursor.execute(Statement.FIND_NAMES, {"texts": list(texts)}).fetchall())


def number_of(cursor: duckdb.DuckDBPyConnection, statement: str, **parameters: str) -> int | None:
    """The number that a statement gives; None when it gives none."""
    # A result has to be fetched to its end before the cursor can be used again.
    rows: list[tuple[int | None]] = cursor.execute(statement, parameters).fetchall()
    return rows[0][0] if rows else None
