import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest

from backend.storage import duckdb_names
from backend.storage.duckdb import DuckdbStorage
from backend.storage.duckdb_statements import SCHEMA_VERSION, Statement
from backend.storage.interface import FOREVER, Flush, MetricSchema, Precision, Retention, StorageError

LAST = 2**31 - 1
KEPT = Retention(1000, 1000, 1000, 1000)


def flush(writer: str, rows: int = 3, minute: int = 1) -> Flush:
    return Flush(
        writer,
        pl.DataFrame(
            {
                "metric": ["a"] * rows,
                "label": [""] * rows,
                "entity": [f"entity {number}" for number in range(rows)],
                "minute": [minute] * rows,
                "summation": [1] * rows,
                "count": [1] * rows,
            },
            schema=MetricSchema,
        ),
    )


def totals(storage: DuckdbStorage, precision: Precision = Precision.MINUTE) -> list[int]:
    return storage.metrics(["a"], [], 0, LAST, precision).sort("entity")["summation"].to_list()


def in_another_process(source: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    storage = DuckdbStorage(path)
    storage.write(flush("one"))
    storage.maintain(2, 2, FOREVER)
    storage.write(flush("two"))
    storage.close()
    storage = DuckdbStorage(path)
    assert totals(storage) == [2, 2, 2]
    storage.write(flush("two"))
    assert totals(storage) == [2, 2, 2]
    storage.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    storage.close()
    storage.close()
    with pytest.raises(StorageError, match="is closed"):
        storage.write(flush("one"))


def test_a_file_of_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    DuckdbStorage(path).close()
    holder = in_another_process(
        "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()", str(path)
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match="in use by another process: stop it, or name another file"):
            DuckdbStorage(path)
    finally:
        holder.kill()
        holder.communicate()
    DuckdbStorage(path).close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    DuckdbStorage(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE schema_version SET version = ?", [SCHEMA_VERSION + 1])
    with pytest.raises(StorageError, match=f"newer pyrover .schema {SCHEMA_VERSION + 1}, this one knows"):
        DuckdbStorage(path)


def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 1000)
    with pytest.raises(StorageError, match="cannot be opened"):
        DuckdbStorage(path)
    assert path.read_text() == "not a database " * 1000
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(StorageError, match="not one of pyrover"):
        DuckdbStorage(path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        DuckdbStorage(tmp_path / "file" / "below" / "store.duckdb")


def test_merging_leaves_one_row_per_metric_entity_and_minute(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    storage = DuckdbStorage(path)
    for number in range(50):
        storage.write(flush(f"writer {number}", rows=10, minute=number % 2))
    storage.maintain(1, 1, FOREVER)
    assert rows_of(storage, "metrics_fresh") == 25 * 10
    assert rows_of(storage, "metrics_minutes") == 10
    storage.maintain(2, 2, FOREVER)
    assert rows_of(storage, "metrics_fresh") == 0
    assert rows_of(storage, "metrics_minutes") == 20
    assert totals(storage) == [25] * 20
    storage.close()


def test_writers_and_names_are_forgotten_in_time(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    for number in range(10):
        storage.write(flush(f"writer {number}", rows=5, minute=100))
    storage.maintain(101, 101, FOREVER)
    assert rows_of(storage, "writers") == rows_of(storage, "merged_writers") == 10
    storage.maintain(162, 162, FOREVER)
    assert rows_of(storage, "writers") == rows_of(storage, "merged_writers") == 0
    assert rows_of(storage, "names") == 7
    storage.maintain(1500, 5000, KEPT)
    assert rows_of(storage, "names") == rows_of(storage, "metrics_minutes") == 0
    storage.close()


def test_what_is_remembered_of_names_holds_until_names_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[int] = []
    find_names = duckdb_names.find_names

    def find(cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> dict[str, int]:
        looked_up.append(len(texts))
        return find_names(cursor, texts)

    monkeypatch.setattr(duckdb_names, "find_names", find)
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    storage.maintain(100, 100, FOREVER)  # the first one forgets
    for minute, is_forgetting in ((101, False), (102, False), (160, True), (161, False)):
        looked_up.clear()
        storage.write(flush(f"writer {minute}", rows=5, minute=minute))
        # 5 entities, a metric and the empty label.
        assert sum(looked_up) == (0 if minute in {102, 160} else 7), minute
        storage.maintain(minute, minute, FOREVER)
        assert (len(storage._names) == 0) is is_forgetting
    assert len(storage.metrics(["a"], [], 0, LAST)) == 4 * 5
    storage.close()


def test_nothing_is_remembered_of_names_when_closing_minutes_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    storage.maintain(100, 100, FOREVER)
    storage.write(flush("writer", rows=5, minute=100))
    assert len(storage._names) == 7
    with monkeypatch.context() as patched:
        patched.setattr(Statement, "FORGET_WRITERS", "SELECT no_such_column")
        with pytest.raises(StorageError, match="no_such_column"):
            storage.maintain(101, 101, FOREVER)
    assert len(storage._names) == 0
    storage.write(flush("another", rows=5, minute=100))
    assert storage.metrics(["a"], [], 0, LAST)["count"].sum() == 2 * 5
    storage.close()


def rows_of(storage: DuckdbStorage, table: str) -> int:
    with storage._transaction() as cursor:
        return len(cursor.table(table).fetchall())


def test_sums_that_do_not_fit_are_shown_as_the_largest(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    huge = pl.DataFrame(
        [("a", "", "x", 1, 2**63 - 1, 1), ("a", "", "y", 1, -(2**63), 1)], schema=MetricSchema, orient="row"
    )
    storage.write(Flush("one", huge))
    storage.write(Flush("two", huge))
    expected = [("a", "", "x", 1, 2**63 - 1, 2), ("a", "", "y", 1, -(2**63), 2)]
    assert storage.metrics(["a"], [], 0, LAST).rows() == expected
    storage.maintain(2, 2, FOREVER)
    assert storage.metrics(["a"], [], 0, LAST).rows() == expected
    storage.close()


def test_the_file_does_not_grow_when_old_data_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    storage = DuckdbStorage(path)
    sizes = []
    for minute in range(0, 1200, 10):
        storage.write(flush(f"writer {minute}", rows=5000, minute=minute))
        storage.maintain(minute - 2, minute, Retention(300, 300, 300, 300))
        sizes.append(path.stat().st_size)
    # Two hours of retention are reached after a quarter of the time; from then on the file keeps its size.
    assert max(sizes[60:]) <= 2 * max(sizes[30:60])
    assert len(storage.metrics(["a"], ["entity 0"], 0, LAST)) <= 37
    storage.close()


def minute_of(number: int) -> int:
    """Minutes that fill an hour with a few flushes, and a day with some more."""
    return number // 3 * 17


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.backend.storage.test_duckdb import flush, minute_of
from backend.storage.interface import FOREVER
from backend.storage.duckdb import DuckdbStorage
storage = DuckdbStorage(Path(sys.argv[1]))
first = int(sys.argv[3])
for number in range(first, first + 100000):
    storage.write(flush(f"writer {number}", rows=200, minute=minute_of(number)))
    print(number, flush=True)
    if number % 7 == 0:
        storage.maintain(minute_of(number) - 20, minute_of(number), FOREVER)
"""


def test_no_flush_is_lost_or_torn_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    root = str(Path(__file__).parents[3])
    chance = random.Random(5)
    written = 0
    for _ in range(4):
        with in_another_process(WRITE_UNTIL_KILLED, str(path), root, str(written)) as writer:
            assert writer.stdout is not None
            acknowledged = written - 1
            for _ in range(chance.randrange(5, 40)):
                line = writer.stdout.readline()
                assert line, writer.stderr and writer.stderr.read()
                acknowledged = int(line)
            # Whatever it is doing now: writing, merging, or in between.
            writer.send_signal(signal.SIGKILL)
            # communicate() would not give what readline() has taken from the pipe already.
            output = writer.stdout.read()
        acknowledged = max([acknowledged, *map(int, output.split())])

        storage = DuckdbStorage(path)
        found = totals(storage)
        flushes = sum(found) // 200
        # Everything acknowledged is there; one more flush may have been durable but not yet acknowledged.
        assert flushes in (acknowledged + 1, acknowledged + 2)
        assert [sum(totals(storage, precision)) for precision in Precision] == [flushes * 200] * 3
        # The flush that was not acknowledged is sent again, by the same writer: it counts once.
        storage.write(flush(f"writer {acknowledged + 1}", rows=200, minute=minute_of(acknowledged + 1)))
        assert [sum(totals(storage, precision)) for precision in Precision] == [(acknowledged + 2) * 200] * 3
        written = acknowledged + 2
        storage.close()


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.backend.storage.test_duckdb import flush, totals
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
storage = DuckdbStorage(Path(sys.argv[1]))
storage._connection.execute("SET checkpoint_threshold = '" + sys.argv[3] + "'")
stored = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
try:
    while stored < 1000:
        storage.write(flush(f"writer {stored}", rows=1000, minute=stored))
        stored += 1
except StorageError as error:
    print("refused:", str(error).splitlines()[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert 0 < stored < 1000
assert sum(totals(storage)) == stored * 1000, (stored, sum(totals(storage)))
storage.write(flush(f"writer {stored}", rows=1000, minute=stored))
assert sum(totals(storage)) == (stored + 1) * 1000
storage.close()
storage = DuckdbStorage(Path(sys.argv[1]))
assert sum(totals(storage)) == (stored + 1) * 1000
storage.close()
"""


@pytest.mark.parametrize("threshold", ["1GB", "10KB"])
def test_a_full_disk_is_an_error_that_passes(threshold: str, tmp_path: Path) -> None:
    """The size of files is limited instead of the disk, which needs no privilege and fails in the same calls.

    With a high threshold the write-ahead log is what cannot grow. With a low one it is first the file itself: DuckDB
    has committed then, says that it failed, and refuses to work until it is opened again.
    """
    root = str(Path(__file__).parents[3])
    process = in_another_process(FILL_THE_DISK, str(tmp_path / "file.duckdb"), root, threshold)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert output.startswith("refused:")
    assert ("a flush is durable, but" in errors) == (threshold == "10KB")
