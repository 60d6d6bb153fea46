"""What only ClickHouse does: crashes, lost connections, clusters, and several backends at the same time."""

# ruff: noqa: S608 - statements name databases and tables of the test

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import polars as pl
import pytest

from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address
from backend.storage.clickhouse_tables import METRICS, SCHEMA_VERSION
from backend.storage.interface import (
    FOREVER,
    Endpoint,
    Flush,
    Instance,
    MetricSchema,
    Precision,
    Relation,
    Retention,
    Service,
    StorageError,
)
from tests.backend.storage.clickhouse_servers import CLUSTER, PROGRAM, ClickhouseServer, running_servers
from tests.backend.storage.conftest import new_address

LAST = 2**31 - 1
DAY = int(Precision.DAY)


@pytest.fixture
def server() -> Iterator[ClickhouseServer]:
    """A server of its own, that may be killed."""
    if PROGRAM is None:
        pytest.skip("clickhouse-server is not installed")
    with running_servers(1) as (started,):
        yield started


def flush(writer: str, *minutes: int, entities: int = 10) -> Flush:
    """Adds 1 for each entity and minute."""
    rows = [("a", "", f"entity {number}", minute, 1, 1) for number in range(entities) for minute in minutes]
    return Flush(writer, pl.DataFrame(rows, schema=MetricSchema, orient="row"))


def total(storage: ClickhouseStorage, precision: Precision = Precision.MINUTE) -> int:
    return int(storage.metrics(["a"], [], 0, LAST, precision)["summation"].sum())


def test_a_server_that_is_killed_has_everything_that_was_acknowledged(server: ClickhouseServer) -> None:
    chance = random.Random(3)
    with closing(ClickhouseStorage(new_address(server))) as storage:
        acknowledged = 0
        for _ in range(2):
            for _ in range(chance.randrange(3, 6)):
                storage.write(flush(f"writer {acknowledged}", acknowledged * 20))
                acknowledged += 1
                storage.maintain(acknowledged * 20 - 30, acknowledged * 20, FOREVER)
            lost = flush(f"writer {acknowledged}", acknowledged * 20)
            server.kill()
            with pytest.raises(StorageError, match="cannot be reached: start it, or see that the network"):
                storage.write(lost)
            with pytest.raises(StorageError, match="cannot be reached"):
                total(storage)
            with pytest.raises(StorageError, match="cannot be reached"):
                storage.maintain(LAST, LAST, FOREVER)
            server.start()
            # The flush that failed is tried again, more often than it has to be.
            storage.write(lost)
            storage.write(lost)
            acknowledged += 1
            assert [total(storage, precision) for precision in Precision] == [acknowledged * 10] * 3


class Breaker:
    """Lets bytes through to a server until it is told to drop them: then statements arrive, and answers do not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.drops_answers = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End every connection."""
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._open += [near, far]
            for source, target, is_answer in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._copy, args=(source, target, is_answer), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:  # noqa: FBT001 - for Thread
        try:
            while data := source.recv(1 << 16):
                # The end of an insert is what a server answers with one byte.
                if is_answer and self.drops_answers and data == b"\x05":
                    break
                target.sendall(data)
        except OSError:
            pass
        finally:
            for one in (source, target):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def test_a_flush_whose_answer_was_lost_counts_once_and_one_that_was_given_up_not_at_all(
    server: ClickhouseServer,
) -> None:
    direct = new_address(server)
    with closing(Breaker(server.port)) as breaker:
        through = Address("127.0.0.1", breaker.port, direct.database)
        with closing(ClickhouseStorage(through)) as storage, closing(ClickhouseStorage(direct)) as other:
            storage.write(flush("one", 5))
            breaker.drops_answers = True
            for _ in range(2):
                with pytest.raises(StorageError, match="cannot be reached"):
                    storage.write(flush("two", 5, 6))
            # Its rows were written, and do not count yet.
            assert total(other) == 10
            breaker.drops_answers = False
            storage.write(flush("two", 5, 6))
            assert total(other) == 30
            breaker.drops_answers = True
            with pytest.raises(StorageError, match="cannot be reached"):
                storage.write(flush("given up", 5, 7))
            assert total(other) == 30
            breaker.drops_answers = False
            storage.maintain(DAY, DAY, FOREVER)
            assert [total(other, precision) for precision in Precision] == [30] * 3


def test_several_backends_write_and_make_hours_at_the_same_time(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    backends = [ClickhouseStorage(address, CLUSTER) for _ in range(3)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(6):
                # All write to the same hours, some of them after another has made these.
                backends[number].write(flush(f"{number}/{step}", step * 30, step * 30 + number, entities=7))
                backends[number].maintain(step * 30 + 15 * number, step * 30, FOREVER)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    # Backend 0 writes the same minute twice: rows of a flush with the same key add up.
    expected = 3 * 6 * 7 * 2
    assert [total(backends[0], precision) for precision in Precision] == [expected] * 3
    # One that was killed leaves its rows; the others go on.
    backends[2].close()
    backends[1].maintain(2 * DAY, 2 * DAY, FOREVER)
    assert [total(backends[0], precision) for precision in Precision] == [expected] * 3
    for backend in backends:
        backend.close()


def test_rows_of_a_cluster_are_on_both_shards_and_each_entity_on_one(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    with closing(ClickhouseStorage(address, CLUSTER)) as storage:
        storage.write(flush("one", 5, entities=100))
        found = [
            {
                entity
                for (entity,) in one.query(f"SELECT entity FROM {address.database}.metrics_minutes WHERE metric = 'a'")
            }
            for one in servers
        ]
        assert all(len(entities) > 25 for entities in found)
        assert found[0] & found[1] == set()
        assert len(found[0] | found[1]) == 100
        assert total(storage) == 100


def test_a_server_becomes_the_first_shard_of_a_cluster(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    with closing(ClickhouseStorage(address)) as alone:
        alone.write(flush("one", 5, 70, entities=20))
        alone.maintain(DAY, DAY, FOREVER)
    with closing(ClickhouseStorage(address, CLUSTER)) as storage:
        storage.write(flush("two", 5, 70, entities=20))
        for closed in (DAY, 2 * DAY):
            storage.maintain(closed, closed, FOREVER)
            for precision in Precision:
                rows = storage.metrics(["a"], [], 0, LAST, precision)
                assert rows["summation"].sum() == 80
                assert rows["entity"].n_unique() == 20


def test_rows_of_a_minute_do_not_grow_with_flushes(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    with closing(ClickhouseStorage(address)) as storage:
        for number in range(20):
            storage.write(flush(f"writer {number}", 5))
        servers[0].query(f"OPTIMIZE TABLE {address.database}.metrics_minutes")
        ((rows,),) = servers[0].query(
            f"SELECT count() FROM {address.database}.metrics_minutes FINAL WHERE metric = 'a'"
        )
        assert rows == 10
        assert total(storage) == 200


def test_old_days_are_dropped_from_every_table(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    kept = Retention(minutes=DAY, hours=DAY, days=DAY, metadata=DAY)
    with closing(ClickhouseStorage(address, CLUSTER)) as storage:
        for day in (0, 1, 5):
            minute = day * DAY + 1
            storage.write(
                Flush(
                    f"day {day}",
                    flush("", minute).metrics,
                    services=[Service(f"s{day}", f"s{day}", "GENERAL", minute, minute)],
                    instances=[Instance(f"s{day}_i", f"s{day}", "i", minute, minute)],
                    endpoints=[Endpoint(f"s{day}_e", f"s{day}", "e", minute, minute)],
                    service_relations=[Relation("a-b", "a", "b", "client", 0, minute)],
                )
            )
            storage.maintain((day + 1) * DAY, (day + 1) * DAY, kept)
        tables = [METRICS.table(precision) for precision in Precision]
        for table in (*tables, "services", "instances", "endpoints", "relations"):
            days = {
                int(str(day))
                for one in servers
                for (day,) in one.query(
                    "SELECT DISTINCT partition FROM system.parts WHERE active"
                    f" AND database = '{address.database}' AND table = '{table}'"
                )
            }
            assert days == {5}, table
        assert total(storage) == 10


def test_a_service_is_as_old_as_the_first_backend_saw_it(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    kept = Retention(metadata=DAY)
    for day in range(4):
        minute = day * DAY + 1
        with closing(ClickhouseStorage(address)) as storage:
            storage.write(Flush(f"{day}", flush("").metrics, services=[Service("s", "s", "GENERAL", minute, minute)]))
            storage.maintain(minute, minute, kept)
            assert storage.services() == [Service("s", "s", "GENERAL", 1, minute)]


def test_what_cannot_be_used_is_refused(servers: list[ClickhouseServer]) -> None:
    address = new_address(servers[0])
    with pytest.raises(StorageError, match=r"knows no cluster 'three': name one of its remote_servers \(two\)"):
        ClickhouseStorage(address, "three")
    ClickhouseStorage(address).close()
    servers[0].query(f"INSERT INTO {address.database}.schema_version SELECT {SCHEMA_VERSION + 1}")
    with pytest.raises(StorageError, match=f"newer pyrover .schema {SCHEMA_VERSION + 1}, this one knows"):
        ClickhouseStorage(address)
    foreign = new_address(servers[0])
    servers[0].query(f"CREATE DATABASE {foreign.database}")
    servers[0].query(f"CREATE TABLE {foreign.database}.services (x UInt8) ENGINE = MergeTree ORDER BY x")
    with pytest.raises(StorageError, match="has tables of another program: name another database"):
        ClickhouseStorage(foreign)
    storage = ClickhouseStorage(new_address(servers[0]))
    storage.close()
    with pytest.raises(StorageError, match="is closed"):
        storage.services()


def test_questions_of_many_entities_are_asked_in_parts(servers: list[ClickhouseServer]) -> None:
    with closing(ClickhouseStorage(new_address(servers[0]), CLUSTER)) as storage:
        storage.write(flush("one", 5, entities=2500))
        asked = [f"entity {number}" for number in range(100, 2400)]
        for precision in (Precision.MINUTE, Precision.HOUR):
            assert len(storage.metrics(["a"], asked, 0, LAST, precision)) == 2300
