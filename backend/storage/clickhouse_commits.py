"""What processes have committed in ClickHouse, and which batches were in it."""

# ruff: noqa: S608 - the prefix of tables is a constant; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from backend.storage.clickhouse_rollup import days_before, drop_before
from backend.storage.clickhouse_server import Asked, Server
from backend.storage.interface import Precision, Retention, StoredElsewhereError

_ASKED_AT_ONCE = 1000
_BATCHES_KEPT = int(Precision.DAY)
"""Minutes for which it is known at least that a batch is stored."""


@dataclass(frozen=True, slots=True)
class _Commit:
    version: int
    writer: str
    batches: Sequence[str]


class Commits:
    """The commits of one process. Use from one thread at a time, but for what reads.

    A commit is one insert, which is there as a whole or not at all. When it fails, nobody knows which: it then has to
    be made again before anything else is written, as that says what was there before.
    """

    def __init__(self, asked: Asked, shards: Sequence[Server], process: str) -> None:
        """Nothing is committed yet.

        Args:
            asked: whom to ask for the commits of all processes.
            shards: where they are.
            process: a name that no other process has.
        """
        self._asked = asked
        self._shards = shards
        self._home = shards[crc32(process.encode()) % len(shards)]
        self._process = process
        self._open: _Commit | None = None
        self.version = 0
        """What is committed."""

    def commit(self, version: int, writer: str, batches: Sequence[str]) -> None:
        """Let rows of a version count, and remember the batches of their flush. Raises StorageError."""
        self._open = _Commit(version, writer, batches)
        self.settle()

    def settle(self) -> None:
        """Make a commit again of which it is not known whether it was made. Raises StorageError."""
        if (commit := self._open) is None:
            return
        number = len(commit.batches)
        columns: list[Sequence[object]] = [
            ["", *commit.batches],
            [self._process, *[commit.writer] * number],
            [commit.version] * (number + 1),
        ]
        self._home.insert("INSERT INTO commits (id, writer, version) VALUES", columns)
        self.version, self._open = commit.version, None

    def of_all(self) -> dict[str, int]:
        """By process, the latest version that it has committed. Raises StorageError."""
        statement = f"SELECT writer, max(version) FROM {self._asked.prefix}commits WHERE id = '' GROUP BY writer"
        return {str(process): int(str(version)) for process, version in self._asked.server.ask(statement)}

    def stored(self, batches: Sequence[str], writer: str) -> set[str]:
        """Which of these batches are in flushes of other writers, of any process. Raises StorageError."""
        statement = f"SELECT DISTINCT id FROM {self._asked.prefix}commits WHERE id IN %(ids)s AND writer != %(writer)s"
        found: set[str] = set()
        for part in range(0, len(batches), _ASKED_AT_ONCE):
            given = {"ids": tuple(batches[part : part + _ASKED_AT_ONCE]), "writer": writer}
            found |= {str(name) for (name,) in self._asked.server.ask(statement, given)}
        return found

    def refuse_stored(self, batches: Sequence[str], writer: str) -> None:
        """Raise StoredElsewhereError when a batch is in a flush of another writer by now."""
        if found := self.stored(batches, writer):
            raise StoredElsewhereError(
                f"another backend has stored {len(found)} of the {len(batches)} batches of this flush meanwhile: send"
                " them again, so that those are left out"
            )

    def forget(self, now: int, retention: Retention) -> None:
        """Drop the batches of long ago; what processes have committed is kept as long as their rows may be.

        Raises:
            StorageError: a server cannot be asked.
        """
        oldest = now - _BATCHES_KEPT
        for shard in self._shards:
            if days_before(shard, "commits", oldest):
                # Rows of a process are of minutes up to its last commit.
                shard.do(
                    "INSERT INTO commits (id, writer, version, written, minute)"
                    " SELECT '', writer, max(version), max(written) AS latest, toInt32(%(now)s) FROM commits"
                    " WHERE id = '' GROUP BY writer HAVING latest >= %(oldest)s",
                    {"now": now, "oldest": retention.oldest(Precision.MINUTE, now) - Precision.DAY},
                )
                drop_before(shard, "commits", oldest)
