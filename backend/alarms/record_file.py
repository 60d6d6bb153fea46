"""Alarms in one SQLite file.

Alarms are few and are asked for by many conditions, so their file is apart from that of metrics, which may be on
another machine.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from backend.alarms.records import Changes, Key, Notice, Saved, Standing
from backend.query.graphql.alarms import Alarm, AlarmQuery, Found
from backend.storage.interface import StorageError

VERSION = 1
"""Of the file's tables."""

LONGEST_WAIT = 10.0
"""Seconds for which the file is waited for while another process uses it."""

_TABLES = """
CREATE TABLE alarms (
    uuid TEXT PRIMARY KEY, start INTEGER NOT NULL, over INTEGER NOT NULL, scope TEXT NOT NULL, layer TEXT NOT NULL,
    rule TEXT NOT NULL, entity TEXT NOT NULL, destination TEXT NOT NULL, message TEXT NOT NULL, alarm TEXT NOT NULL
);
CREATE INDEX alarms_by_start ON alarms (start);
CREATE TABLE tags (
    uuid TEXT NOT NULL REFERENCES alarms (uuid) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (uuid, name)
) WITHOUT ROWID;
CREATE TABLE standing (
    rule TEXT NOT NULL, entity TEXT NOT NULL, standing TEXT NOT NULL, PRIMARY KEY (rule, entity)
) WITHOUT ROWID;
CREATE TABLE checked (one INTEGER PRIMARY KEY CHECK (one = 1), minute INTEGER NOT NULL);
"""
# What is to write says so at its begin: two that read could not both wait for the other to end.
_READ, _WRITE = "BEGIN", "BEGIN IMMEDIATE"
_BEGIN = """
INSERT OR REPLACE INTO alarms (uuid, start, over, scope, layer, rule, entity, destination, message, alarm)
VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)
"""
_FORGET_MANY = """
DELETE FROM alarms WHERE uuid IN (SELECT uuid FROM alarms ORDER BY start DESC, uuid LIMIT -1 OFFSET ?)
"""
_COUNT = "SELECT count(*) FROM alarms WHERE {}"
_FIND = "SELECT alarm FROM alarms WHERE {} ORDER BY start DESC, uuid LIMIT ? OFFSET ?"
_OF_ANY_TAG = "uuid IN (SELECT uuid FROM tags WHERE {})"
_TAG_NAMES = """
SELECT DISTINCT name FROM tags JOIN alarms USING (uuid) WHERE start BETWEEN ? AND ? ORDER BY name
"""
_TAG_VALUES = """
SELECT DISTINCT value FROM tags JOIN alarms USING (uuid) WHERE start BETWEEN ? AND ? AND name = ? ORDER BY value
"""


class FileRecords:
    """Alarms in a file. One process may write it (FolderLead), others read it. What it raises is StorageError.

    Args:
        path: The file; its folder is created when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path.parent} cannot be made: {error.strerror}") from error
        try:
            self._connection = sqlite3.connect(
                path, timeout=LONGEST_WAIT, check_same_thread=False, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self._failure(error) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def load(self) -> Saved:
        """As AlarmRecords says."""
        with self._transaction() as connection:
            checked = connection.execute("SELECT minute FROM checked").fetchone()
            rows = connection.execute("SELECT rule, entity, standing FROM standing").fetchall()
        try:
            standing: dict[Key, Standing] = {(rule, entity): _standing(body) for rule, entity, body in rows}
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self._path} holds what is no alarm ({error}): move it away") from error
        return Saved(None if checked is None else checked[0], standing)

    def save(self, changes: Changes) -> None:
        """As AlarmRecords says."""
        with self._transaction(_WRITE) as connection:
            for notice in changes.begun:
                _begin(connection, notice)
            connection.executemany(
                "INSERT OR REPLACE INTO standing (rule, entity, standing) VALUES (?, ?, ?)",
                [(*key, _text(standing)) for key, standing in changes.standing.items()],
            )
            connection.executemany("DELETE FROM standing WHERE rule = ? AND entity = ?", changes.ended)
            for notice in changes.ended.values():
                connection.execute(
                    "UPDATE alarms SET over = 1, alarm = json_set(alarm, '$.recovery', ?) WHERE uuid = ?",
                    (notice.alarm.recovery, notice.uuid),
                )
            connection.execute("INSERT OR REPLACE INTO checked (one, minute) VALUES (1, ?)", (changes.minute,))

    def forget(self, oldest: int, most: int) -> Sequence[int]:
        """As AlarmRecords says."""
        with self._transaction(_WRITE) as connection:
            old = connection.execute("DELETE FROM alarms WHERE start < ? AND over", (oldest,)).rowcount
            many = connection.execute(_FORGET_MANY, (most,)).rowcount
        return old, many

    def find(self, asked: AlarmQuery) -> Found:
        """As AlarmBook says."""
        conditions, parameters = _conditions(asked)
        with self._transaction() as connection:
            (total,) = connection.execute(_COUNT.format(conditions), parameters).fetchone()
            rows = connection.execute(
                _FIND.format(conditions), (*parameters, asked.page.limit, asked.page.offset)
            ).fetchall()
        return Found([msgspec.json.decode(body, type=Alarm) for (body,) in rows], total)

    def tag_names(self, first: int, last: int) -> Sequence[str]:
        """As AlarmBook says."""
        return self._texts(_TAG_NAMES, first, last)

    def tag_values(self, name: str, first: int, last: int) -> Sequence[str]:
        """As AlarmBook says."""
        return self._texts(_TAG_VALUES, first, last, name)

    def close(self) -> None:
        """As AlarmRecords says."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        with self._failing():
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
        with self._transaction(_WRITE) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in {0, VERSION}:
                raise StorageError(
                    f"{self._path} was written by a newer program (version {version}): use that one, or move the file"
                    " away"
                )
            if version == 0:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")

    def _texts(self, statement: str, *parameters: object) -> Sequence[str]:
        with self._transaction() as connection:
            return [found for (found,) in connection.execute(statement, parameters)]

    @contextmanager
    def _transaction(self, begin: str = _READ) -> Iterator[sqlite3.Connection]:
        with self._lock, self._failing():
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> StorageError:
        return StorageError(f"{self._path} cannot be used ({error}): repair it, or move it away to begin a new one")


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _standing(body: str) -> Standing:
    found = msgspec.json.decode(body, type=Standing)
    return replace(found, alarm=replace(found.alarm, metrics=()))


def _begin(connection: sqlite3.Connection, notice: Notice) -> None:
    alarm, uuid = notice.alarm, notice.uuid
    parts = (alarm.scope, alarm.layer, alarm.rule, alarm.id, alarm.destination_id, alarm.message)
    connection.execute(_BEGIN, (uuid, alarm.start, *parts, _text(alarm)))
    tags = [(uuid, name, value) for name, value in alarm.tags.items()]
    connection.executemany("INSERT OR REPLACE INTO tags (uuid, name, value) VALUES (?, ?, ?)", tags)


def _conditions(asked: AlarmQuery) -> tuple[str, list[object]]:
    """What is asked, in SQL with a place for each value, and the values in order."""
    conditions, parameters = ["start BETWEEN ? AND ?"], list[object]([asked.first, asked.last])
    for column, value in (("scope", asked.scope), ("layer", asked.layer)):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    if asked.rules:
        conditions.append(f"rule IN {_places(asked.rules)}")
        parameters += asked.rules
    if asked.keyword:
        conditions.append("instr(message, ?)")
        parameters.append(asked.keyword)
    if asked.tags:
        of_any = " OR ".join(["name = ? AND value = ?"] * len(asked.tags))
        conditions.append(_OF_ANY_TAG.format(of_any))
        parameters += [part for tag in asked.tags for part in tag]
    if asked.entities:
        places = _places(asked.entities)
        conditions.append(f"(entity IN {places} OR destination IN {places})")
        parameters += [*asked.entities, *asked.entities]
    return " AND ".join(conditions), parameters


def _places(values: frozenset[str]) -> str:
    return f"({', '.join('?' * len(values))})"
