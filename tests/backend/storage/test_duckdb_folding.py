"""That blocks of an open minute become fewer, and what is written counts once all the same."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage import duckdb as duckdb_store
from backend.storage import duckdb_blocks
from backend.storage.duckdb import DuckdbStorage
from backend.storage.duckdb_blocks import FULL_WRITER, MERGED_WRITER
from backend.storage.interface import FOREVER, Flush, Precision
from tests.backend.storage.test_duckdb_blocks import LAST, NOTHING, block

FOLDED_AT, REPLACEABLE = 4, 2
FIRST_FOLD = 2 * FOLDED_AT
"""Flushes: at the first attempt too few can be folded, as the latest may not be."""
IN_FIRST_FOLD = FIRST_FOLD - REPLACEABLE


@pytest.fixture(scope="module", autouse=True)
def small_folds() -> Iterator[None]:
    """Sums become one after fewer flushes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(duckdb_store, "FOLDED_AT", FOLDED_AT)
        patched.setattr(duckdb_blocks, "FOLDED_AT", FOLDED_AT)
        patched.setattr(duckdb_blocks, "REPLACEABLE", REPLACEABLE)
        yield


def write(storage: DuckdbStorage, number: int, value: int = 1, minutes: Sequence[int] = (7,)) -> None:
    """A flush of one log of each of three entities, in each minute."""
    rows = [(entity, minute, value, 1) for minute in minutes for entity in range(3)]
    storage.write(Flush(f"writer {number}", NOTHING, blocks=[block(*rows)]))


def sums(storage: DuckdbStorage, precision: Precision = Precision.MINUTE) -> list[tuple[int, int, int]]:
    """Minute, sum and logs of entity 1."""
    return storage.metrics(["mean"], ["e1"], 0, LAST, precision).select("minute", "summation", "count").rows()


def blocks(storage: DuckdbStorage, condition: str = "true") -> int:
    with storage._transaction() as cursor:
        ((number,),) = cursor.execute(f"SELECT count(*) FROM metrics_blocks WHERE {condition}").fetchall()  # noqa: S608 - conditions of this test
        return int(number)


def test_a_minute_has_few_blocks_however_many_flushes_there_were(tmp_path: Path) -> None:
    most = 0
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for number in range(50):
            write(storage, number, minutes=(7, 8))
            assert sums(storage) == [(7, number + 1, number + 1), (8, number + 1, number + 1)]
            most = max(most, blocks(storage, "minute = 7"))
        assert most == FIRST_FOLD - 1
        storage.maintain(8, 8, FOREVER)
        assert sums(storage) == [(7, 50, 50), (8, 50, 50)]
        assert blocks(storage, "minute = 7") == 0
        storage.maintain(100, 100, FOREVER)
        assert sums(storage, Precision.HOUR) == [(0, 100, 100)]


def test_minutes_with_few_flushes_stay_as_they_are(tmp_path: Path) -> None:
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for number in range(30):
            write(storage, number, minutes=(number // (FOLDED_AT - 1),))
        assert blocks(storage) == 30
        assert sum(total for _, total, _ in sums(storage)) == 30


def test_a_flush_that_was_folded_and_is_written_again_changes_nothing(tmp_path: Path) -> None:
    expected = [(7, FIRST_FOLD, FIRST_FOLD), (20, FIRST_FOLD, FIRST_FOLD)]
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for number in range(FIRST_FOLD):
            write(storage, number, minutes=(7, 20))
        assert blocks(storage, f"writer = {MERGED_WRITER}") == 2
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for closed in (0, 8, 8 + 60):
            storage.maintain(closed, closed, FOREVER)
            for number in (0, IN_FIRST_FOLD - 1, IN_FIRST_FOLD):
                write(storage, number, minutes=(7, 20))
            assert sums(storage) == expected, closed


def test_the_latest_flushes_can_be_written_again_with_other_sums(tmp_path: Path) -> None:
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for number in range(FIRST_FOLD):
            write(storage, number)
        assert blocks(storage, f"writer = {MERGED_WRITER}") == 1
        for number in range(FIRST_FOLD - REPLACEABLE, FIRST_FOLD):
            write(storage, number, value=100)
        assert sums(storage) == [(7, IN_FIRST_FOLD + 100 * REPLACEABLE, FIRST_FOLD)]
        storage.maintain(8, 8, FOREVER)
        assert sums(storage) == [(7, IN_FIRST_FOLD + 100 * REPLACEABLE, FIRST_FOLD)]


def test_sums_that_would_not_fit_into_64_bits_are_not_made(tmp_path: Path) -> None:
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for number in range(4 * FIRST_FOLD):
            write(storage, number, value=2**62 if number % FOLDED_AT == 0 else 1)
        assert blocks(storage, f"writer = {FULL_WRITER}") == 7
        assert blocks(storage, f"writer = {MERGED_WRITER}") == 1
        for _ in range(2):
            assert sums(storage) == [(7, 2**63 - 1, 4 * FIRST_FOLD)]
            storage.maintain(8, 8, FOREVER)
        assert blocks(storage) == 0


def test_a_flush_is_durable_though_folding_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: duckdb.DuckDBPyConnection) -> None:
        raise duckdb.IOException("no room")

    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        with monkeypatch.context() as patched:
            patched.setattr(duckdb_store, "fold_blocks", fail)
            for number in range(FIRST_FOLD):
                write(storage, number)
        assert "sums of an open minute stay apart until later" in caplog.text
        assert blocks(storage) == FIRST_FOLD
        for number in range(FIRST_FOLD, FIRST_FOLD + FOLDED_AT):
            write(storage, number)
        assert blocks(storage) < FIRST_FOLD
        assert sums(storage) == [(7, FIRST_FOLD + FOLDED_AT, FIRST_FOLD + FOLDED_AT)]


def test_writers_of_folded_blocks_are_forgotten_an_hour_after_their_minute_was_closed(tmp_path: Path) -> None:
    with closing(DuckdbStorage(tmp_path / "file")) as storage:
        for number in range(FIRST_FOLD):
            write(storage, number, minutes=(107,))
        for closed, known in ((100, IN_FIRST_FOLD), (108, FIRST_FOLD), (168, FIRST_FOLD), (169, 0)):
            storage.maintain(closed, closed, FOREVER)
            with storage._transaction() as cursor:
                assert len(cursor.table("merged_writers").fetchall()) == known, closed
        with storage._transaction() as cursor:
            assert cursor.table("writers").fetchall() == []


@settings(max_examples=12, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, FIRST_FOLD), st.integers(0, 2)),
            st.tuples(st.just("again"), st.integers(0, 10**6), st.just(0)),
            st.tuples(st.just("close"), st.integers(0, 3), st.just(0)),
        ),
        max_size=6,
    )
)
def test_any_history_of_flushes_gives_the_plain_sums(
    steps: Sequence[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Flushes of a minute each; some are written again, whenever that is; minutes are closed and come late."""
    written: list[int] = []
    with closing(DuckdbStorage(tmp_path_factory.mktemp("history") / "file")) as storage:
        for step, number, minute in steps:
            if step == "close":
                storage.maintain(number, number, FOREVER)
            elif step == "again" and written:
                write(storage, number % len(written), minutes=(written[number % len(written)],))
            elif step == "write":
                for _ in range(number):
                    write(storage, len(written), minutes=(minute,))
                    written.append(minute)
        expected = [(minute, written.count(minute), written.count(minute)) for minute in sorted(set(written))]
        assert sums(storage) == expected


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.backend.storage.test_duckdb_folding import write
from backend.storage.duckdb import DuckdbStorage
storage = DuckdbStorage(Path(sys.argv[1]))
first = int(sys.argv[3])
for number in range(first, first + 100000):
    write(storage, number)
    print(number, flush=True)
"""


def test_no_flush_is_lost_or_torn_when_the_process_is_killed_while_it_folds(tmp_path: Path) -> None:
    path, root, chance, written = tmp_path / "file", str(Path(__file__).parents[3]), random.Random(6), 0
    for _ in range(2):
        command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path), root, str(written)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(16 * chance.randrange(1, 3) - 1):
                assert writer.stdout.readline()
            # Around the moment at which it folds.
            writer.send_signal(signal.SIGKILL)
            acknowledged = max(map(int, writer.stdout.read().split()), default=-1)
        with closing(DuckdbStorage(path)) as storage:
            ((_, found, logs),) = sums(storage)
            assert found == logs
            assert found >= acknowledged + 1
            for number in chance.sample(range(found), 9):
                write(storage, number)
            assert sums(storage) == [(7, found, found)]
        written = found
