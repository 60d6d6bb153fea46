"""Claims and commits of batches in ClickHouse: the statements of which the protocol of commits is made.

A process claims the batches of a flush before it commits them (backend/storage/clickhouse_commits.py). Claims and
commits of a process are on one shard, its home, so that one clock decides how old its claim is, for itself as for all
others: the home's. Nothing depends on clocks of backends, or on those of two servers showing the same.
"""

# ruff: noqa: S608 - the prefix of tables is a constant; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from backend.storage.clickhouse_rollup import days_before, drop_before
from backend.storage.clickhouse_server import Asked, RefusedError, Server
from backend.storage.interface import Precision, Retention, StorageError

COMMIT_SECONDS = 10
"""Age of a claim up to which its home takes a commit for it."""
VOID_SECONDS = 20
"""Age from which on a claim holds nobody back. The difference is what a server may take, at most, between looking at
its clock and showing the commit that it has taken; or be set back by, while a process is held up in a commit."""
_THROWN = 395
"""What a server answers when throwIf has thrown: FUNCTION_THROW_IF_VALUE_IS_NON_ZERO."""
_ASKED_AT_ONCE = 1000
_BATCHES_KEPT = int(Precision.DAY)
"""Minutes for which it is known at least that a batch is stored."""


class TooLateError(StorageError):
    """The claim is too old: the commit is not made, for certain."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Batches that a process has claimed and not given back, in a claim that is not void."""

    process: str
    number: int
    """Of the claim, among those of its process."""
    since: int
    """Unix seconds by the clock of the home of the process."""
    batches: frozenset[str]
    """Those that were asked for."""


class ClickhouseLedger:
    """Claims and commits of one process, and the questions for those of all. Every method raises StorageError."""

    def __init__(self, asked: Asked, shards: Sequence[Server], process: str) -> None:
        """Nothing is claimed yet.

        Args:
            asked: whom to ask for the commits of all processes.
            shards: where claims and commits are.
            process: a name that no other process has.
        """
        self._asked = asked
        self._shards = shards
        self._home = shards[crc32(process.encode()) % len(shards)]
        self._process = process

    def claim(self, number: int, batches: Sequence[str]) -> None:
        """Claim batches. When it fails nobody knows whether they are claimed."""
        self._note(number, batches, given_back=0)

    def give_back(self, number: int, batches: Sequence[str]) -> None:
        """Say that a claim will not be used any more. When it fails, it is void in time."""
        self._note(number, batches, given_back=1)

    def claimed(self, batches: Sequence[str]) -> list[Claimed]:
        """Claims of these batches, of any process, that are neither given back nor void. Of one, there may be parts."""
        statement = f"""
            SELECT process, number, min(since) AS first, groupUniqArray(id) FROM claims
            WHERE since >= toUnixTimestamp(now()) - {2 * VOID_SECONDS} AND id IN %(ids)s GROUP BY process, number
            HAVING max(given_back) = 0 AND first + {VOID_SECONDS} >= toUnixTimestamp(now())
        """
        found: list[Claimed] = []
        # Each shard by itself: the clock that looks at a claim is the one by which it was made.
        for shard in self._shards:
            for part in _parts(batches):
                rows: Sequence[tuple[str, int, int, list[str]]] = shard.ask(statement, {"ids": part})  # type: ignore[assignment] # as selected
                found += [Claimed(process, number, since, frozenset(of)) for process, number, since, of in rows]
        return found

    def stored(self, batches: Sequence[str], writer: str) -> set[str]:
        """Which of these batches are in flushes of other writers, of any process."""
        statement = f"SELECT DISTINCT id FROM {self._asked.prefix}commits WHERE id IN %(ids)s AND writer != %(writer)s"
        found: set[str] = set()
        for part in _parts(batches):
            found |= {str(name) for (name,) in self._asked.server.ask(statement, {"ids": part, "writer": writer})}
        return found

    def commit(self, version: int, writer: str, batches: Sequence[str], since: int | None) -> None:
        """Let rows of a version count, and remember the batches of their flush, in one insert of one part.

        When it fails nobody knows whether it is made, and it may be made later, up to when the claim is void.

        Args:
            version: of the rows.
            writer: of the flush.
            batches: of the flush.
            since: when they were claimed; None for a flush without batches, or one that counts already.

        Raises:
            TooLateError: the claim is too old; nothing is inserted.
            StorageError: nobody knows.
        """
        # What a server looks at its clock for, it does not do when it is too late, however long the statement waited.
        condition = "1" if since is None else f"throwIf(toUnixTimestamp(now()) > {since + COMMIT_SECONDS}) = 0"
        statement = f"""
            INSERT INTO commits (id, writer, version, minute)
            SELECT id, if(id = '', %(process)s, %(writer)s), toUInt64(%(version)s),
                   toInt32(intDiv(toUnixTimestamp(now()), 60))
            FROM (SELECT arrayJoin(%(ids)s) AS id) WHERE {condition}
        """
        given = {"process": self._process, "writer": writer, "version": version, "ids": ["", *batches]}
        try:
            self._home.do(statement, given)
        except RefusedError as error:
            if error.code != _THROWN:
                raise
            raise TooLateError(
                f"{self._home.address} took more than {COMMIT_SECONDS} s for a flush from its claim to its commit:"
                " write it again, and see what keeps the server"
            ) from error

    def is_void(self, since: int) -> bool:
        """Whether a claim of this process is void by now: what was not committed for it never will be."""
        ((is_void,),) = self._home.ask(f"SELECT toUnixTimestamp(now()) > {since + VOID_SECONDS}")
        return bool(is_void)

    def committed(self) -> int:
        """The latest version that this process has committed; 0 for none."""
        statement = "SELECT max(version) FROM commits WHERE id = '' AND writer = %(process)s"
        ((version,),) = self._home.ask(statement, {"process": self._process})
        return int(str(version))

    def versions(self) -> dict[str, int]:
        """By process, the latest version that it has committed."""
        statement = f"SELECT writer, max(version) FROM {self._asked.prefix}commits WHERE id = '' GROUP BY writer"
        return {str(process): int(str(version)) for process, version in self._asked.server.ask(statement)}

    def forget(self, now: int, retention: Retention) -> None:
        """Drop the batches of long ago, and claims; what processes have committed is kept as long as their rows may be.

        Args:
            now: the present minute.
            retention: of rows.
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
            # Those of hours that ended an hour ago.
            statement = """
                SELECT DISTINCT partition FROM system.parts WHERE database = %(database)s AND table = 'claims'
                AND active = 1 AND toUInt32(partition) < intDiv(toUnixTimestamp(now()), 3600) - 1
            """
            for (hour,) in shard.ask(statement, {"database": shard.address.database}):
                shard.do(f"ALTER TABLE claims DROP PARTITION {int(str(hour))}")

    def _note(self, number: int, batches: Sequence[str], *, given_back: int) -> None:
        count = len(batches)
        columns = [batches, [self._process] * count, [number] * count, [given_back] * count]
        self._home.insert("INSERT INTO claims (id, process, number, given_back) VALUES", columns)


def _parts(batches: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(batches[first : first + _ASKED_AT_ONCE]) for first in range(0, len(batches), _ASKED_AT_ONCE)]
