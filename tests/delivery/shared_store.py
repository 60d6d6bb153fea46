"""A store that two backends share as they share ClickHouse: claims, commits and a clock, by the real protocol.

Between any two statements of a backend anything else can happen. A statement may have no answer, and may arrive later,
also after the death of who sent it.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from backend.storage import clickhouse_ledger
from backend.storage.clickhouse_commits import Commits
from backend.storage.clickhouse_ledger import Claimed, TooLateError
from backend.storage.interface import Flush, Retention, Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.delivery.faults import Crash, Faults
from tests.delivery.stepped import pause

T = TypeVar("T")

LATEST = 60.0
"""Seconds after which a statement that nobody waits for has arrived."""


@dataclass(slots=True)
class _Claim:
    process: str
    number: int
    batches: frozenset[str]
    since: int
    given_back: bool = False


@dataclass
class _Server:
    """What all backends talk to."""

    faults: Faults
    loop: asyncio.AbstractEventLoop
    rows: MemoryStorage = field(default_factory=MemoryStorage)
    """What is committed."""
    versions: dict[str, int] = field(default_factory=dict)
    """By process, what it has committed."""
    claims: list[_Claim] = field(default_factory=list)

    @property
    def now(self) -> int:
        """Its clock, in seconds."""
        return int(self.loop.time())

    def do(self, statement: Callable[[], T]) -> T:
        """Do something, perhaps later, and answer, perhaps."""
        pause()
        if self.faults.strikes():
            if self.faults.chance.random() < 0.5:
                self.loop.call_later(self.faults.chance.uniform(0.0, LATEST), _unheard, statement)
            if self.faults.chance.random() < 0.3:
                raise Crash
            raise StorageError("the server does not answer")
        answer = statement()
        pause()
        self.faults.crash()
        if self.faults.strikes():
            raise StorageError("the answer is lost")
        return answer


def _wait(_seconds: float) -> None:
    pause()


def _unheard(statement: Callable[[], object]) -> None:
    """Do what nobody waits for any more."""
    with contextlib.suppress(TooLateError):
        statement()


class _Ledger:
    """As ClickhouseLedger."""

    def __init__(self, server: _Server, process: str) -> None:
        self._server = server
        self._process = process
        self.written: dict[int, Flush] = {}
        """By version, what its commit lets count."""

    def claim(self, number: int, batches: Sequence[str]) -> None:
        """As ClickhouseLedger.claim."""
        server = self._server
        self._server.do(lambda: server.claims.append(_Claim(self._process, number, frozenset(batches), server.now)))

    def give_back(self, number: int, batches: Sequence[str]) -> None:
        """As ClickhouseLedger.give_back."""

        def note() -> None:
            for claim in self._server.claims:
                if (claim.process, claim.number) == (self._process, number):
                    claim.given_back = True
            assert batches

        self._server.do(note)

    def claimed(self, batches: Sequence[str]) -> list[Claimed]:
        """As ClickhouseLedger.claimed."""

        def found() -> list[Claimed]:
            return [
                Claimed(claim.process, claim.number, claim.since, claim.batches & {*batches})
                for claim in self._server.claims
                if claim.batches & {*batches}
                and not claim.given_back
                and claim.since + clickhouse_ledger.VOID_SECONDS >= self._server.now
            ]

        return self._server.do(found)

    def stored(self, batches: Sequence[str], writer: str) -> set[str]:
        """As ClickhouseLedger.stored."""
        return self._server.do(lambda: self._server.rows.stored_batches(batches, writer))

    def commit(self, version: int, writer: str, batches: Sequence[str], since: int | None) -> None:
        """As ClickhouseLedger.commit: what is taken is shown some seconds later, whatever becomes of the process."""
        server, shown = self._server, False

        def take() -> None:
            if since is not None and server.now > since + clickhouse_ledger.COMMIT_SECONDS:
                raise TooLateError("too late")
            longest = clickhouse_ledger.VOID_SECONDS - clickhouse_ledger.COMMIT_SECONDS - 1
            seconds = server.faults.chance.uniform(0.0, longest) if server.faults.strikes(5.0) else 0.0
            server.loop.call_later(seconds, show)

        def show() -> None:
            nonlocal shown
            if shown:
                return
            shown = True
            assert (self.written[version].writer, self.written[version].batches) == (writer, batches)
            server.rows.write(self.written[version])
            server.versions[self._process] = max(version, server.versions.get(self._process, 0))

        server.do(take)
        while not shown:
            if not pause():
                show()

    def is_void(self, since: int) -> bool:
        """As ClickhouseLedger.is_void."""
        return self._server.do(lambda: self._server.now > since + clickhouse_ledger.VOID_SECONDS)

    def committed(self) -> int:
        """As ClickhouseLedger.committed."""
        return self._server.do(lambda: self._server.versions.get(self._process, 0))


class _Store:
    """What one process has open; as ClickhouseStorage, without its rows."""

    def __init__(self, server: _Server, process: str) -> None:
        self._server = server
        self._ledger = _Ledger(server, process)
        self._commits = Commits(self._ledger, process, _wait)
        self._version = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - questions of any kind
        return getattr(self._server.rows, name)

    def write(self, flush: Flush) -> None:
        """As ClickhouseStorage.write."""
        self._commits.settle()
        self._version += 1
        self._ledger.written[self._version] = flush
        self._commits.commit(self._version, flush.writer, flush.batches, lambda: None)

    def stored_batches(self, identifiers: Sequence[str], writer: str) -> set[str]:
        """As ClickhouseStorage.stored_batches."""
        self._commits.settle()
        return self._ledger.stored(identifiers, writer)

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """As ClickhouseStorage.maintain."""
        self._commits.settle()
        self._server.rows.maintain(closed_minute, now_minute, retention)


class InShared:
    """One server for any number of backends."""

    is_stepped = True

    def __init__(self, _folder: Path, faults: Faults, loop: asyncio.AbstractEventLoop) -> None:
        self._server = _Server(faults, loop)
        self._numbers = itertools.count()

    def open(self) -> Storage:
        """For a process that was not there before."""
        return cast("Storage", _Store(self._server, f"process {next(self._numbers)}"))
