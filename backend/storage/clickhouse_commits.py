"""Commits of one process in ClickHouse, such that a batch is in one commit at most, whoever else commits what.

Before a flush is committed its batches are claimed, and only then the claims and the commits of others are looked at.
So of two processes that have the same batch, at least one sees the claim of the other, gives its own back and leaves
the batch alone; both may, and then each of them tries again after a random time. A commit is refused by the server when
the claim is too old, so a claim that is old enough for that, and a while more, is void for everybody: who stops between
claim and commit, or dies, can commit no more, and holds its batches no longer than that.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.storage.clickhouse_ledger import VOID_SECONDS, Claimed, TooLateError
from backend.storage.interface import StorageError, StoredElsewhereError

_ATTEMPTS = 5
"""How often batches are claimed before the flush is given up because others have claimed them."""
_FIRST_PAUSE = 0.02
"""Seconds before the second claim, at most; doubled with each one."""
_REPEATABLE = 8
"""Latest flushes with batches that may be written again without a claim."""


class Ledger(Protocol):
    """What ClickhouseLedger does."""

    def claim(self, number: int, batches: Sequence[str]) -> None:
        """As ClickhouseLedger.claim."""
        ...

    def give_back(self, number: int, batches: Sequence[str]) -> None:
        """As ClickhouseLedger.give_back."""
        ...

    def claimed(self, batches: Sequence[str]) -> list[Claimed]:
        """As ClickhouseLedger.claimed."""
        ...

    def stored(self, batches: Sequence[str], writer: str) -> set[str]:
        """As ClickhouseLedger.stored."""
        ...

    def commit(self, version: int, writer: str, batches: Sequence[str], since: int | None) -> None:
        """As ClickhouseLedger.commit."""
        ...

    def is_void(self, since: int) -> bool:
        """As ClickhouseLedger.is_void."""
        ...

    def committed(self) -> int:
        """As ClickhouseLedger.committed."""
        ...


@dataclass(slots=True)
class _Commit:
    version: int
    writer: str
    batches: Sequence[str]
    since: int | None
    """When its batches were claimed; None when they need no claim."""
    made: Callable[[], None]
    """What to do when it is made."""
    is_doubtful: bool = False
    """Whether an attempt had no answer."""


class Commits:
    """The commits of one process. Use from one thread at a time.

    A commit is one insert, which is there as a whole or not at all. When it fails, nobody knows which: it then has to
    be made again, or be known as not made, before anything else is written, as that says what was there before.
    """

    def __init__(self, ledger: Ledger, process: str, pause: Callable[[float], None] = time.sleep) -> None:
        """Nothing is committed yet.

        Args:
            ledger: of this process.
            process: its name.
            pause: waits for so many seconds.
        """
        self._ledger = ledger
        self._process = process
        self._pause = pause
        self._claims = 0
        self._open: _Commit | None = None
        self._made: dict[str, frozenset[str]] = {}
        self.version = 0
        """What is committed."""

    def commit(self, version: int, writer: str, batches: Sequence[str], made: Callable[[], None]) -> None:
        """Let rows of a version count, and remember the batches of their flush.

        A flush that counts already, and is written again as its answer was lost, is not held up by claims of others:
        its batches are in no other commit, and can get into none.

        Args:
            version: of the rows; higher than those before.
            writer: of the flush.
            batches: of the flush.
            made: is called once, when it is known that the commit is made: perhaps later, when this has failed.

        Raises:
            StoredElsewhereError: another process has stored some of the batches, or is about to; nothing of this writer
                counts.
            StorageError: it is not made, or nobody knows.
        """
        since = None if self._made.get(writer, frozenset()).issuperset(batches) else self._claim(writer, batches)
        self._open = _Commit(version, writer, batches, since, made)
        self.settle()
        if self.version != version:
            raise StorageError("the store took too long to take a flush that was written: write it again")

    def settle(self) -> None:
        """Find out of the last commit whether it is made, and make it if that may still be done.

        Raises:
            StorageError: nobody knows yet.
        """
        if (commit := self._open) is None:
            return
        try:
            self._ledger.commit(commit.version, commit.writer, commit.batches, commit.since)
        except TooLateError:
            is_made = commit.is_doubtful and self._was_made(commit)
        except StorageError:
            commit.is_doubtful = True
            raise
        else:
            is_made = True
        self._open = None
        if is_made:
            self.version = commit.version
            self._remember(commit)
            commit.made()

    def _remember(self, commit: _Commit) -> None:
        if not commit.batches:
            return
        self._made[commit.writer] = self._made.pop(commit.writer, frozenset()) | {*commit.batches}
        if len(self._made) > _REPEATABLE:
            del self._made[next(iter(self._made))]

    def _was_made(self, commit: _Commit) -> bool:
        """Whether one of the attempts that had no answer has arrived, once none of them can any more."""
        if commit.since is not None and not self._ledger.is_void(commit.since):
            raise StorageError(
                f"it is not known yet whether a flush was committed: try again when its claim is {VOID_SECONDS} s old"
            )
        return self._ledger.committed() >= commit.version

    def _claim(self, writer: str, batches: Sequence[str]) -> int:
        """Claim batches so that nobody else commits them; when that was."""
        others: frozenset[str] = frozenset()
        for attempt in range(_ATTEMPTS):
            if attempt:
                # Of two that have seen each other, one is to be first the next time.
                self._pause(random.uniform(0, _FIRST_PAUSE * 2.0 ** (attempt - 1)))  # noqa: S311 - keeps no secret
            self._claims += 1
            self._ledger.claim(self._claims, batches)
            claimed = self._ledger.claimed(batches)
            own = [one for one in claimed if (one.process, one.number) == (self._process, self._claims)]
            others = _all_of(one for one in claimed if one.process != self._process)
            # After the claims: what was committed for one that is void by now is there by now.
            stored = self._ledger.stored(batches, writer)
            if not others and not stored and _all_of(own) == {*batches}:
                return min(one.since for one in own)
            self._ledger.give_back(self._claims, batches)
            if stored:
                raise StoredElsewhereError(
                    f"another backend has stored {len(stored)} of the {len(batches)} batches of this flush meanwhile:"
                    " send them again, so that those are left out",
                    held=others - stored,
                )
            if not others:
                raise StorageError(
                    f"what was inserted is not seen {VOID_SECONDS} s long: name servers, and not a balancer before"
                    " several of them, and see what keeps them"
                )
        raise StoredElsewhereError(
            f"another backend is storing {len(others)} of the {len(batches)} batches of this flush: send them again",
            held=others,
        )


def _all_of(claims: Iterable[Claimed]) -> frozenset[str]:
    return frozenset[str]().union(*(one.batches for one in claims))
