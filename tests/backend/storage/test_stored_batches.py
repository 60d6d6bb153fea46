"""That stores know which batches they have, however they were told and whoever asks."""

from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pytest

from backend.storage import duckdb_writing
from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import BATCHES_REMEMBERED, FOREVER, Flush, MetricSchema, Storage
from backend.storage.memory import MemoryStorage
from tests.backend.storage.clickhouse_servers import CLUSTER, ClickhouseServer
from tests.backend.storage.conftest import new_address

DAY = 1440


def flush(writer: str, *batches: str) -> Flush:
    return Flush(writer, pl.DataFrame(schema=MetricSchema), batches=batches)


def test_a_batch_is_known_to_other_writers_than_its_own(storage: Storage) -> None:
    storage.write(flush("one", "a", "b"))
    storage.write(flush("two", "c"))
    assert storage.stored_batches(["a", "b", "c", "d"], "three") == {"a", "b", "c"}
    # What a writer has written it may write again, with all that was in it.
    assert storage.stored_batches(["a", "b", "c", "d"], "one") == {"c"}
    assert storage.stored_batches([], "three") == set()


def test_a_flush_written_again_changes_nothing(storage: Storage) -> None:
    for _ in range(3):
        storage.write(flush("one", "a", "it's \\ \N{SNOWMAN}"))
        storage.maintain(100, 102, FOREVER)
    assert storage.stored_batches(["a", "it's \\ \N{SNOWMAN}"], "two") == {"a", "it's \\ \N{SNOWMAN}"}
    assert storage.stored_batches(["a", "it's \\ \N{SNOWMAN}"], "one") == set()


def test_many_are_asked_for_at_once(storage: Storage) -> None:
    names = [f"{number:036}" for number in range(2_500)]
    storage.write(flush("one", *names[::2]))
    assert storage.stored_batches(names, "two") == set(names[::2])


def test_memory_knows_the_latest_and_no_more() -> None:
    storage = MemoryStorage()
    names = [str(number) for number in range(BATCHES_REMEMBERED + 10)]
    storage.write(flush("one", *names))
    assert storage.stored_batches(names, "two") == set(names[10:])


def test_a_file_knows_them_after_opening_again_the_latest_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_writing, "BATCHES_REMEMBERED", 10)
    monkeypatch.setattr(duckdb_writing, "BATCHES_FORGOTTEN", 4)
    names = [str(number) for number in range(50)]
    with closing(DuckdbStorage(tmp_path / "store")) as storage:
        for number, name in enumerate(names):
            storage.write(flush(f"writer {number}", name))
    with closing(DuckdbStorage(tmp_path / "store")) as storage:
        known = storage.stored_batches(names, "another")
    assert known == set(names[-len(known) :])
    assert 10 <= len(known) < 10 + 4


def test_a_file_from_before_batches_were_remembered_remembers_them(tmp_path: Path) -> None:
    with closing(DuckdbStorage(tmp_path / "store")) as storage:
        storage.write(flush("one", "a"))
    with duckdb.connect(str(tmp_path / "store")) as connection:
        connection.execute("DROP TABLE batches")
    with closing(DuckdbStorage(tmp_path / "store")) as storage:
        assert storage.stored_batches(["a"], "two") == set()
        storage.write(flush("one", "a"))
        assert storage.stored_batches(["a"], "two") == {"a"}


@pytest.mark.parametrize("cluster", [None, CLUSTER], ids=["server", "cluster"])
def test_backends_that_share_a_store_know_what_the_others_have(
    servers: list[ClickhouseServer], cluster: str | None
) -> None:
    address = new_address(servers[0])
    names = [str(number) for number in range(20)]
    with closing(ClickhouseStorage(address, cluster)) as one, closing(ClickhouseStorage(address, cluster)) as two:
        one.write(flush("one", *names))
        assert two.stored_batches(names, "two") == set(names)
    with closing(ClickhouseStorage(address, cluster)) as later:
        assert later.stored_batches(names, "two") == set(names)


def test_old_ones_are_dropped_by_the_day(servers: list[ClickhouseServer]) -> None:
    with closing(ClickhouseStorage(new_address(servers[0]))) as storage:
        storage.write(flush("one", "a"))
        ((minute,),) = storage._server.ask("SELECT minute FROM commits WHERE id != ''")
        assert isinstance(minute, int)
        storage.maintain(minute + DAY - 2, minute + DAY, FOREVER)
        assert storage.stored_batches(["a"], "two") == {"a"}
        storage.maintain(minute + 2 * DAY - 2, minute + 2 * DAY, FOREVER)
        assert storage.stored_batches(["a"], "two") == set()
