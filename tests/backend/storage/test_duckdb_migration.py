from pathlib import Path

import duckdb
import pytest

from backend.storage.duckdb import DuckdbStorage
from backend.storage.duckdb_statements import SCHEMA_VERSION
from backend.storage.interface import FOREVER, Endpoint, Instance, Precision, Relation, Service, StorageError

LAST = 2**31 - 1

# As version 1 made it, word for word, and what it would have written: bucket 7 of "p" is "p:7".
VERSION_1 = """
CREATE TABLE IF NOT EXISTS endpoints (
    id VARCHAR PRIMARY KEY, service_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE names (id INTEGER NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE writers (id INTEGER NOT NULL, text VARCHAR NOT NULL, minute INTEGER NOT NULL);
CREATE TABLE fresh (
    minute INTEGER NOT NULL, metric INTEGER NOT NULL, entity INTEGER NOT NULL, writer INTEGER NOT NULL,
    summation BIGINT NOT NULL, "count" BIGINT NOT NULL
);
CREATE TABLE merged (
    minute INTEGER NOT NULL, metric INTEGER NOT NULL, entity INTEGER NOT NULL,
    summation BIGINT NOT NULL, "count" BIGINT NOT NULL
);
CREATE TABLE merged_writers (writer INTEGER NOT NULL, minute INTEGER NOT NULL, merged INTEGER NOT NULL);
CREATE TABLE relations (
    minute INTEGER NOT NULL, instances BOOLEAN NOT NULL, relation INTEGER NOT NULL, source INTEGER NOT NULL,
    destination INTEGER NOT NULL, server BOOLEAN NOT NULL, component INTEGER NOT NULL
);
CREATE TABLE services (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, layer VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
CREATE TABLE instances (
    id VARCHAR PRIMARY KEY, service_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
-- Sums of 64-bit numbers are 128 bits wide; one that does not fit back becomes the largest that does.
CREATE MACRO total(x) AS least(greatest(sum(x), -9223372036854775808), 9223372036854775807)::BIGINT;

INSERT INTO schema_version VALUES (1);
INSERT INTO names VALUES (1, 'm'), (2, 'p:7'), (3, 'p:12'), (4, 'x:1'), (5, 'x'), (6, 'a-b'), (7, 'a'), (8, 'b'),
    (9, 'a_1-b_1'), (10, 'a_1'), (11, 'b_1');
INSERT INTO writers VALUES (1, 'one', 5), (2, 'two', 70);
INSERT INTO merged VALUES (5, 1, 5, 10, 1), (5, 2, 5, 3, 0), (5, 3, 4, 4, 0);
INSERT INTO merged_writers VALUES (1, 5, 60);
INSERT INTO fresh VALUES (70, 1, 5, 2, 7, 2), (70, 2, 5, 2, 1, 0);
INSERT INTO relations VALUES (5, false, 6, 7, 8, true, 49), (5, true, 9, 10, 11, false, 0);
INSERT INTO services VALUES ('a', 'a', 'K8S_SERVICE', 5, 70);
INSERT INTO instances VALUES ('a_1', 'a', '1', 5, 70);
INSERT INTO endpoints VALUES ('a_e', 'a', 'e', 5, 70);
"""


def write_version_1(path: Path, *more: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for script in (VERSION_1, *more):
            connection.execute(script)


def test_a_file_of_version_1_has_the_same_answers_and_buckets_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    write_version_1(path)
    for _ in range(2):  # migrated, and opened again
        storage = DuckdbStorage(path)
        assert storage.metrics(["m", "p", "p:7"], [], 0, LAST).rows() == [
            ("m", "", "x", 5, 10, 1),
            ("m", "", "x", 70, 7, 2),
            ("p", "12", "x:1", 5, 4, 0),
            ("p", "7", "x", 5, 3, 0),
            ("p", "7", "x", 70, 1, 0),
        ]
        assert storage.services() == [Service("a", "a", "K8S_SERVICE", 5, 70)]
        assert storage.instances("a", 0, LAST) == [Instance("a_1", "a", "1", 5, 70)]
        assert storage.endpoints("a", 0, LAST) == [Endpoint("a_e", "a", "e", 5, 70)]
        assert storage.service_relations(0, LAST) == [Relation("a-b", "a", "b", "server", 49, 5)]
        assert storage.instance_relations("a", "b", 0, LAST) == [Relation("a_1-b_1", "a_1", "b_1", "client", 0, 5)]
        for precision in (Precision.HOUR, Precision.DAY):
            assert storage.metrics(["m"], [], 0, LAST, precision)["summation"].sum() == 17
        storage.close()


def test_hours_and_days_of_a_migrated_file_are_made(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    write_version_1(path)
    storage = DuckdbStorage(path)
    storage.maintain(1500, 1500, FOREVER)
    assert storage.metrics(["m"], [], 0, LAST, Precision.HOUR).rows() == [
        ("m", "", "x", 0, 10, 1),
        ("m", "", "x", 60, 7, 2),
    ]
    assert storage.metrics(["m"], [], 0, LAST, Precision.DAY).rows() == [("m", "", "x", 0, 17, 3)]
    storage.close()


def test_a_file_from_before_there_were_endpoints_and_rows_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    write_version_1(path, "DROP TABLE endpoints", "DELETE FROM names", "DELETE FROM fresh", "DELETE FROM merged")
    storage = DuckdbStorage(path)
    assert storage.endpoints(None, 0, LAST) == []
    assert storage.metrics(["m"], [], 0, LAST).is_empty()
    storage.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    write_version_1(path, "DROP TABLE instances")
    with pytest.raises(StorageError, match="instances"):
        DuckdbStorage(path)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
        assert connection.execute("SELECT count(*) FROM merged").fetchall() == [(3,)]


def test_a_version_that_nobody_wrote_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    write_version_1(path, "UPDATE schema_version SET version = 0")
    with pytest.raises(StorageError, match="schema 0, which no pyrover wrote: name another file"):
        DuckdbStorage(path)
    assert SCHEMA_VERSION == 3
