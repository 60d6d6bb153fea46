"""That a flush counts as a whole or not at all, wherever its process ends, and that its batches are known with it."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import polars as pl
import pytest

from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address, Server
from backend.storage.interface import (
    FOREVER,
    Flush,
    MeasureSchema,
    MetricSchema,
    Precision,
    Retention,
    Service,
    StorageError,
    StoredElsewhereError,
)
from tests.backend.storage.clickhouse_servers import CLUSTER, ClickhouseServer
from tests.backend.storage.conftest import new_address

LAST = 2**31 - 1
DAY = int(Precision.DAY)
ENTITIES = 20
CLUSTERS = pytest.mark.parametrize("cluster", [None, CLUSTER], ids=["server", "cluster"])


def flush(writer: str, *batches: str, minute: int = 5) -> Flush:
    """Adds 1 to a metric and to a measure of each entity: for both shards of a cluster."""
    metrics = [("a", "", f"entity {number}", minute, 1, 1) for number in range(ENTITIES)]
    measures = [("d", "", f"entity {number}", minute, 1.0, 1, 1.0, 1.0) for number in range(ENTITIES)]
    return Flush(
        writer,
        pl.DataFrame(metrics, schema=MetricSchema, orient="row"),
        services=[Service("s", "s", "GENERAL", minute, minute)],
        measures=pl.DataFrame(measures, schema=MeasureSchema, orient="row"),
        batches=batches,
    )


def flushes(storage: ClickhouseStorage) -> float:
    """How many flushes count; the same in every table, at every precision and for every entity."""
    found = set[float | None]()
    for precision in Precision:
        metrics = storage.metrics(["a"], [], 0, LAST, precision).group_by("entity").agg(pl.col("summation").sum())
        measures = storage.measures(["d"], [], 0, LAST, precision).group_by("entity").agg(pl.col("total").sum())
        for sums in (metrics["summation"], measures["total"]):
            found |= set(sums) if len(sums) == ENTITIES else {None} if len(sums) else {0}
    (number,) = found
    assert number is not None
    return float(number)


class Death(BaseException):
    """A process ends."""


Insert = Callable[[Callable[[], None], str], None]
"""Is given what makes an insert and its statement, and makes it or not."""


@contextmanager
def inserting(by: Insert) -> Iterator[None]:
    """Has all inserts of this process made by a function."""
    insert, do = Server.insert, Server.do

    def insert_by(server: Server, statement: str, columns: Sequence[Sequence[object]]) -> None:
        by(lambda: insert(server, statement, columns), statement)

    def do_by(server: Server, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        if "INSERT INTO" in statement:
            by(lambda: do(server, statement, parameters), statement)
        else:
            do(server, statement, parameters)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Server, "insert", insert_by)
        patched.setattr(Server, "do", do_by)
        yield


@contextmanager
def dying_at(number: int, *, after: bool) -> Iterator[list[str]]:
    """Ends the process at one of its inserts, counted from 0: before it is made, or before it is answered."""
    made: list[str] = []

    def insert_or_die(insert: Callable[[], None], statement: str) -> None:
        made.append(statement)
        if len(made) <= number or after:
            insert()
        if len(made) > number:
            raise Death

    with inserting(insert_or_die):
        yield made


def void_claims(storage: ClickhouseStorage) -> None:
    """Let claims be as old as they have to be to hold nobody back."""
    for shard in storage._shards:
        shard.do("TRUNCATE TABLE claims")


def send_again(storage: ClickhouseStorage, writer: str, *batches: str) -> None:
    """As a backend does with batches that come again."""
    stored = storage.stored_batches(batches, writer)
    assert stored in (set(), set(batches))
    if not stored:
        storage.write(flush(writer, *batches))


@CLUSTERS
def test_wherever_a_process_ends_what_it_wrote_counts_once_when_its_batches_come_again(
    servers: list[ClickhouseServer], cluster: str | None
) -> None:
    number = deaths = 0
    while True:
        address = new_address(servers[0])
        with closing(ClickhouseStorage(address, cluster)) as other:
            one = ClickhouseStorage(address, cluster)
            one.write(flush("first", "a"))
            after = bool(number % 2)
            try:
                with dying_at(number // 2, after=after) as made:
                    one.write(flush("second", "b", "c"))
            except Death:
                deaths += 1
            else:
                break
            finally:
                one.close()
            # Its rows count when the last of its inserts was made, and its batches are known then.
            is_whole = after and "INTO commits" in made[-1]
            assert flushes(other) == 1 + is_whole, made
            assert other.stored_batches(["a", "b", "c"], "x") == ({"a", "b", "c"} if is_whole else {"a"}), made
            if number % 3 == 0:
                other.maintain(DAY, DAY, FOREVER)
            if not is_whole and any("INTO claims" in statement for statement in made[: number // 2 + after]):
                with pytest.raises(StoredElsewhereError, match="another backend is storing 2 of the 2 batches"):
                    send_again(other, "again", "b", "c")
                assert flushes(other) == 1
                void_claims(other)
            send_again(other, "again", "b", "c")
            assert flushes(other) == 2
            other.maintain(2 * DAY, 2 * DAY, FOREVER)
            assert flushes(other) == 2
        number += 1
    # Two tables of rows, services are known from before, the claim and the commit.
    assert deaths == 2 * (4 if cluster is None else 6)


WRITE_AND_DIE = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from backend.storage import clickhouse_ledger
from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address, Server
from tests.backend.storage.test_clickhouse_commits import flush, inserting
clickhouse_ledger.COMMIT_SECONDS = 1_000
storage = ClickhouseStorage(Address("127.0.0.1", int(sys.argv[2]), sys.argv[3]))
made = 0
def insert_or_die(insert, statement):
    global made
    if made == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    made += 1
    insert()
with inserting(insert_or_die):
    storage.write(flush("killed", "b", "c"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("inserts", range(6))
def test_a_process_that_is_killed_between_its_inserts_leaves_nothing_or_all(
    servers: list[ClickhouseServer], inserts: int
) -> None:
    """Of metrics, measures, services, the claim and the commit; after the last of them nobody has heard of it."""
    address = new_address(servers[0])
    root = str(Path(__file__).parents[3])
    with closing(ClickhouseStorage(address)) as storage:
        command = [sys.executable, "-c", WRITE_AND_DIE, root, f"{address.port}", address.database, f"{inserts}"]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert flushes(storage) == (inserts == 5)
        void_claims(storage)
        send_again(storage, "again", "b", "c")
        assert flushes(storage) == 1


@pytest.mark.parametrize("made", [0, 1])
def test_a_commit_that_was_not_answered_is_made_again_before_anything_else(
    servers: list[ClickhouseServer], made: int
) -> None:
    address = new_address(servers[0])

    def refuse(insert: Callable[[], None], statement: str) -> None:
        if "INTO commits" not in statement or made:
            insert()
        if "INTO commits" in statement:
            raise StorageError("not answered")

    with closing(ClickhouseStorage(address)) as one, closing(ClickhouseStorage(address)) as other:
        one.write(flush("first", "a"))
        with inserting(refuse):
            for _ in range(3):
                with pytest.raises(StorageError, match="not answered"):
                    one.write(flush("second", "b"))
                assert flushes(other) == 1 + made
                assert other.stored_batches(["a", "b"], "x") == ({"a", "b"} if made else {"a"})
            with pytest.raises(StorageError, match="not answered"):
                one.stored_batches(["b"], "third")
            with pytest.raises(StorageError, match="not answered"):
                one.maintain(10, 10, FOREVER)
        # Its sender was told to send again: it is known, as it counts from now on.
        assert one.stored_batches(["b"], "third") == {"b"}
        assert flushes(other) == 2
        one.write(flush("third", "c"))
        one.maintain(DAY, DAY, FOREVER)
        assert flushes(other) == 3


@CLUSTERS
def test_a_batch_that_another_backend_has_stored_meanwhile_counts_once(
    servers: list[ClickhouseServer], cluster: str | None
) -> None:
    address = new_address(servers[0])
    with closing(ClickhouseStorage(address, cluster)) as one, closing(ClickhouseStorage(address, cluster)) as other:
        assert one.stored_batches(["a", "b"], "one") == set()
        send_again(other, "other", "b")
        with pytest.raises(StorageError, match="another backend has stored 1 of the 2 batches of this flush meanwhile"):
            one.write(flush("one", "a", "b"))
        assert flushes(other) == 1
        one.write(flush("two", "a"))
        assert flushes(other) == 2
        one.maintain(DAY, DAY, FOREVER)
        assert flushes(other) == 2


def test_batches_are_forgotten_and_what_counts_is_not(servers: list[ClickhouseServer]) -> None:
    with closing(ClickhouseStorage(new_address(servers[0]), CLUSTER)) as storage:
        storage.write(flush("one", "a"))
        ((now,),) = storage._server.ask("SELECT max(minute) FROM every_commits")
        assert isinstance(now, int)
        for day in range(1, 6):
            kept = Retention(minutes=4 * DAY, hours=1 << 40, days=1 << 40)
            storage.maintain(now - 2, now + day * DAY, kept)
            ((rows,),) = storage._server.ask("SELECT count() FROM every_commits WHERE id != ''")
            assert bool(rows) == (day == 1), day
        # What is too old for any of its rows to be asked for is forgotten too.
        assert len(storage._ledger.versions()) == 1
        storage.maintain(now - 2, now + 7 * DAY, kept)
        assert storage._ledger.versions() == {}


def test_what_was_committed_is_kept_while_its_rows_are(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    with closing(ClickhouseStorage(address, CLUSTER)) as storage:
        storage.write(flush("one", "a", minute=5))
        ((now,),) = storage._server.ask("SELECT max(minute) FROM every_commits")
        assert isinstance(now, int)
        for day in range(1, 4):
            storage.maintain(5, now + day * DAY, FOREVER)
            assert flushes(storage) == 1
    with closing(ClickhouseStorage(address, CLUSTER)) as storage:
        assert flushes(storage) == 1


_MINUTES = """
    CREATE TABLE {table}_minutes (metric String, label String, entity String, minute Int32, {values}, live UInt8,
    version UInt64, writer String) ENGINE = ReplacingMergeTree(version)
    PARTITION BY intDiv(minute, 1440) ORDER BY (metric, entity, label, minute, writer)
"""
VERSION_1 = (
    "CREATE TABLE schema_version (version UInt32) ENGINE = MergeTree ORDER BY version",
    "INSERT INTO schema_version SELECT 1",
    _MINUTES.format(table="metrics", values="summation Int64, count Int64"),
    _MINUTES.format(table="measures", values="total Float64, count Int64, least Float64, greatest Float64"),
    """
    CREATE TABLE batches
    (id String, writer String, minute Int32 DEFAULT toInt32(intDiv(toUnixTimestamp(now()), 60)))
    ENGINE = ReplacingMergeTree PARTITION BY intDiv(minute, 1440) ORDER BY (id, writer)
    """,
)


@CLUSTERS
def test_tables_of_version_1_count_as_they_are(servers: list[ClickhouseServer], cluster: str | None) -> None:
    address = new_address(servers[0])
    process = "0123456789abcdef0123456789abcdef"
    for number, one in enumerate(servers if cluster else servers[:1]):
        one.query(f"CREATE DATABASE {address.database}")
        before = Server(Address("127.0.0.1", one.port, address.database))
        every = [
            f"CREATE TABLE every_{table} AS {table} ENGINE = Distributed('{CLUSTER}', '{address.database}', '{table}')"
            for table in ("metrics_minutes", "measures_minutes", "batches")
        ]
        for statement in (*VERSION_1, *every):
            before.do(statement)
        entities = [f"entity {entity}" for entity in range(ENTITIES) if not cluster or entity % 2 == number]
        for name, table, values in (("a", "metrics", 2), ("d", "measures", 4)):
            rows = [(name, "", entity, 5, *[1] * values, 1, 7, f"{process}-0") for entity in entities]
            mark = ("", "", f"{number}", 0, *[1] * values, 1, 7, process)
            before.insert(f"INSERT INTO {table}_minutes VALUES", list(zip(*rows, mark, strict=True)))
        before.insert("INSERT INTO batches (id, writer) VALUES", [[f"batch {number}"], ["before"]])
        before.close()
    for opened in range(2):
        with closing(ClickhouseStorage(address, cluster)) as storage:
            assert flushes(storage) == 1 + opened
            assert storage.stored_batches(["batch 0"], "x") == {"batch 0"}
            storage.write(flush(f"{opened}", f"{opened}"))
            assert flushes(storage) == 2 + opened
            storage.maintain((1 + opened) * DAY, (1 + opened) * DAY, FOREVER)
            assert flushes(storage) == 2 + opened
