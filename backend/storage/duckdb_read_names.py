"""Names in a DuckDB file that those who ask have met, with their numbers.

Asking the file for names takes as long as asking it for values. A name keeps its number as long as it is in the file;
names that nothing needs any more are deleted, and their numbers may be given to others then.
"""

import threading
from collections.abc import Collection, Iterable

import duckdb

from backend.storage.duckdb_names import find_names
from backend.storage.duckdb_statements import Statement

MAXIMUM_KEPT = 65_536
"""Names that are kept, at about 300 bytes each; others are looked up in the file each time."""


class ReadNames:
    """Names that were read. Safe for several threads.

    Who asks takes a view before the transaction sees anything of the file, and uses it afterwards. If no names were
    deleted until then, none were between the view and what the transaction sees, and so no number was given again.

    Args:
        maximum: Most names that are kept.
    """

    def __init__(self, maximum: int = MAXIMUM_KEPT) -> None:
        self._maximum = maximum
        self._lock = threading.Lock()
        self._kept = _Kept()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept.texts)

    def view(self) -> "NamesView":
        """The names as they are kept now."""
        return NamesView(self, self._kept)

    def forget(self) -> None:
        """Keep none of them: names were deleted. Nobody may write new names between that and this call."""
        with self._lock:
            self._kept = _Kept()

    def holds(self, kept: "_Kept") -> bool:
        """Whether no names were deleted since these were kept."""
        return kept is self._kept

    def keep(self, kept: "_Kept", found: Collection[tuple[int, str]]) -> None:
        """Keep names that were read under a view; without effect when names were deleted since."""
        if len(found) > self._maximum:
            return
        with self._lock:
            if kept is not self._kept:
                return
            if len(kept.texts) + len(found) > self._maximum:
                kept = self._kept = _Kept()
            # Numbers last: who finds one finds its text too.
            kept.texts.update(found)
            kept.numbers.update((text, number) for number, text in found)


class _Kept:
    """Names of one time between two deletions; they only become more."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.texts: dict[int, str] = {}


class NamesView:
    """Names for one transaction.

    Args:
        names: Where those that are read are kept.
        kept: Those that are kept already.
    """

    def __init__(self, names: ReadNames, kept: _Kept) -> None:
        self._names = names
        self._kept = kept

    def numbers(self, cursor: duckdb.DuckDBPyConnection, texts: Collection[str]) -> dict[str, int]:
        """The numbers of names that are in the file."""
        kept = self._kept.numbers if self._names.holds(self._kept) else {}
        found = {text: kept[text] for text in texts if text in kept}
        if len(found) < len(texts) and (missing := [text for text in texts if text not in found]):
            read = find_names(cursor, missing)
            self._names.keep(self._kept, [(number, text) for text, number in read.items()])
            found |= read
        return found

    def texts(self, cursor: duckdb.DuckDBPyConnection, numbers: Iterable[int]) -> dict[int, str]:
        """The names of numbers that are in the file."""
        kept = self._kept.texts if self._names.holds(self._kept) else {}
        found: dict[int, str] = {}
        missing = []
        for number in numbers:
            if (text := kept.get(number)) is None:
                missing.append(number)
            else:
                found[number] = text
        if missing:
            read: list[tuple[int, str]] = cursor.execute(Statement.TEXTS, {"ids": missing}).fetchall()
            self._names.keep(self._kept, read)
            found.update(read)
        return found
