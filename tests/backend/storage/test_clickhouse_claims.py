"""Backends that commit the same batches to real servers at the same moment, and are held up at every step of it.

`PYROVER_CLAIM_ROUNDS=1000 pytest tests/backend/storage/test_clickhouse_claims.py -k moment` lets them meet more often.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import polars as pl
import pytest

from backend.storage import clickhouse_ledger
from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_ledger import ClickhouseLedger
from backend.storage.clickhouse_server import Address
from backend.storage.interface import FOREVER, Flush, MetricSchema, StorageError, StoredElsewhereError
from tests.backend.storage.clickhouse_servers import CLUSTER, ClickhouseServer
from tests.backend.storage.conftest import new_address
from tests.backend.storage.test_clickhouse_commits import CLUSTERS, DAY, LAST
from tests.waiting import PATIENCE, until

ROUNDS = int(os.environ.get("PYROVER_CLAIM_ROUNDS", "40"))


@contextmanager
def two(address: Address, cluster: str | None = None) -> Iterator[tuple[ClickhouseStorage, ClickhouseStorage]]:
    """Two backends of one store."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(closing(ClickhouseStorage(address, cluster))) for _ in range(2))
        yield one, other


def flush(writer: str, batches: Iterable[str]) -> Flush:
    """Adds 1 to a metric for each batch."""
    rows = [("a", "", batch, 5, 1, 1) for batch in batches]
    return Flush(writer, pl.DataFrame(rows, schema=MetricSchema, orient="row"), batches=[*batches])


def counted(storage: ClickhouseStorage) -> dict[str, int]:
    """How often each batch counts."""
    return dict(storage.metrics(["a"], [], 0, LAST).select("entity", "summation").iter_rows())


def send(storage: ClickhouseStorage, writer: str, *batches: str) -> bool:
    """Give a backend batches once; whether they are stored."""
    try:
        left = set(batches) - storage.stored_batches(batches, writer)
        if left:
            storage.write(flush(writer, left))
    except StorageError:
        return False
    return True


def send_in_parts(storage: ClickhouseStorage, writer: str, *batches: str) -> set[str]:
    """As a pipeline does: without what others hold it is written anew. Which batches are held."""
    waiting, held = set(batches), set[str]()
    for part in range(len(batches) + 1):
        try:
            left = waiting - storage.stored_batches(sorted(waiting), f"{writer} {part}")
            if left:
                storage.write(flush(f"{writer} {part}", left))
        except StoredElsewhereError as error:
            held |= error.held
            waiting -= error.held
        else:
            return held
    raise AssertionError("each time another batch is held or stored")


def send_until_stored(storage: ClickhouseStorage, writer: str, *batches: str) -> int:
    """Give them to it again and again; how often it did not take them."""
    refusals = itertools.count()
    until(lambda: send(storage, f"{writer} {next(refusals)}", *batches), f"{batches} are stored")
    return next(refusals) - 1


class HookedLedger:
    """A ledger with something that is called before and after each of its methods."""

    def __init__(self, ledger: ClickhouseLedger, hook: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._hook = hook

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any of its methods
        def call(*given: Any) -> Any:  # noqa: ANN401 - as they have it
            self._hook(f"before {name}")
            answer = getattr(self._ledger, name)(*given)
            self._hook(f"after {name}")
            return answer

        return call


def hook_into(storage: ClickhouseStorage, hook: Callable[[str], None]) -> None:
    storage._commits._ledger = HookedLedger(storage._ledger, hook)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims grow old in seconds."""
    monkeypatch.setattr(clickhouse_ledger, "COMMIT_SECONDS", 1)
    monkeypatch.setattr(clickhouse_ledger, "VOID_SECONDS", 5)


@CLUSTERS
def test_what_two_backends_get_at_the_same_moment_counts_once(
    servers: list[ClickhouseServer], cluster: str | None
) -> None:
    both = threading.Barrier(2)
    with two(new_address(servers[0]), cluster) as stores, ThreadPoolExecutor(2) as workers:

        def send_all(number: int) -> None:
            for batch in range(ROUNDS):
                both.wait(PATIENCE)
                send_until_stored(stores[number], f"{number} {batch}", f"{batch}", f"{batch} of {number}")

        list(workers.map(send_all, range(2)))
        expected = {name: 1 for batch in range(ROUNDS) for name in (f"{batch}", f"{batch} of 0", f"{batch} of 1")}
        assert counted(stores[0]) == expected
        stores[1].maintain(DAY, DAY, FOREVER)
        assert counted(stores[1]) == expected


STOPS = [f"{when} {step}" for step in ("claim", "claimed", "stored", "commit") for when in ("before", "after")]


@CLUSTERS
@pytest.mark.parametrize("stop", STOPS)
def test_wherever_a_backend_is_held_up_a_batch_counts_once(
    servers: list[ClickhouseServer], cluster: str | None, stop: str
) -> None:
    stopped, goes_on = threading.Event(), threading.Event()

    def hold_up(step: str) -> None:
        if step == stop and not stopped.is_set():
            stopped.set()
            assert goes_on.wait(PATIENCE)

    with two(new_address(servers[0]), cluster) as (one, other), ThreadPoolExecutor(1) as worker:
        hook_into(one, hold_up)
        sending = worker.submit(send, one, "one", "a", "b")
        try:
            assert stopped.wait(PATIENCE)
            # Before it has claimed anything it holds nobody back, and after its commit the batch is stored.
            assert send(other, "other", "a", "c") == (stop in {"before claim", "after commit"})
        finally:
            goes_on.set()
        assert sending.result(PATIENCE) == (stop != "before claim")
        send_until_stored(one, "one again", "a", "b")
        send_until_stored(other, "other again", "a", "c")
        assert counted(one) == counted(other) == {"a": 1, "b": 1, "c": 1}


@CLUSTERS
@pytest.mark.usefixtures("hasty")
def test_a_backend_that_was_held_up_for_too_long_commits_no_more(
    servers: list[ClickhouseServer], cluster: str | None
) -> None:
    with two(new_address(servers[0]), cluster) as (one, other):

        def be_late(step: str) -> None:
            if step == "before commit":
                send_until_stored(other, "other", "a", "c")

        send_until_stored(one, "before", "x")
        hook_into(one, be_late)
        with pytest.raises(StorageError, match="took too long to take a flush"):
            one.write(flush("one", ["a", "b"]))
        assert counted(one) == {"x": 1, "a": 1, "c": 1}
        hook_into(one, lambda _step: None)
        # Of what was given up nothing comes back with the next flush.
        send_until_stored(one, "again", "a", "b")
        assert counted(other) == {"x": 1, "a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("is_made", [False, True])
def test_a_commit_without_an_answer_is_known_when_its_claim_is_void(
    servers: list[ClickhouseServer], monkeypatch: pytest.MonkeyPatch, *, is_made: bool
) -> None:
    """And not before, as it may still be on its way."""
    monkeypatch.setattr(clickhouse_ledger, "COMMIT_SECONDS", 1)
    with two(new_address(servers[0])) as (one, other):

        def lose_answer(step: str) -> None:
            if step == ("after commit" if is_made else "before commit"):
                raise StorageError("no answer")

        hook_into(one, lose_answer)
        while not is_unanswered(one, flush("one", ["a", "b"])):
            pass
        hook_into(one, lambda _step: None)
        commit = one._commits._open
        assert commit is not None
        assert commit.since is not None
        until_older_than(one, commit.since, clickhouse_ledger.COMMIT_SECONDS)
        assert known(one) is None
        assert counted(other) == ({"a": 1, "b": 1} if is_made else {})
        monkeypatch.setattr(clickhouse_ledger, "VOID_SECONDS", clickhouse_ledger.COMMIT_SECONDS)
        found = known(one)
        assert found == ({"a", "b"} if is_made else set())
        send_until_stored(other, "other", "a", "b")
        send_until_stored(one, "again", "a", "b", "c")
        assert counted(one) == {"a": 1, "b": 1, "c": 1}


def is_unanswered(storage: ClickhouseStorage, written: Flush) -> bool:
    """Write a flush whose commit has no answer; False when its claim was too old before that."""
    with pytest.raises(StorageError, match=r"no answer|took too long") as raised:
        storage.write(written)
    return "no answer" in str(raised.value)


def until_older_than(storage: ClickhouseStorage, since: int, seconds: int) -> None:
    """Wait until it is later by the server's clock."""
    now = "SELECT toUnixTimestamp(now())"
    until(lambda: storage._server.ask(now)[0][0] > since + seconds)  # type: ignore[operator] # a number


def known(storage: ClickhouseStorage) -> set[str] | None:
    """What of two batches it says that it has; None when it cannot say."""
    try:
        return storage.stored_batches(["a", "b"], "x")
    except StorageError as error:
        assert "not known yet whether a flush was committed" in str(error)  # noqa: PT017 - else nothing is expected
        return None


def test_a_flush_without_batches_is_not_claimed(servers: list[ClickhouseServer]) -> None:
    with two(new_address(servers[0])) as (one, other):
        one.write(Flush("one", flush("one", ["a"]).metrics))
        assert counted(other) == {"a": 1}
        assert one._server.ask("SELECT count() FROM claims") == [(0,)]


def test_thousands_of_batches_are_committed_as_one(servers: list[ClickhouseServer]) -> None:
    names = [f"it's \\ {number}" for number in range(5_000)]
    with two(new_address(servers[0]), CLUSTER) as (one, other):
        assert send(one, "one", *names)
        assert other.stored_batches(names, "x") == set(names)
        assert counted(other) == dict.fromkeys(names, 1)
        ((parts,),) = one._server.ask("SELECT uniq(_part) FROM every_commits")
        assert parts == 1


def test_servers_that_do_not_show_what_was_inserted_are_named(
    servers: list[ClickhouseServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As several of them behind one address are."""
    with two(new_address(servers[0])) as (one, other):
        monkeypatch.setattr(ClickhouseLedger, "claimed", lambda _self, _batches: [])
        with pytest.raises(StorageError, match="name servers, and not a balancer"):
            one.write(flush("one", ["a"]))
        assert counted(other) == {}


def test_claims_are_forgotten_by_the_hour(servers: list[ClickhouseServer]) -> None:
    with two(new_address(servers[0]), CLUSTER) as (one, _):
        for shard in one._shards:
            shard.do(
                "INSERT INTO claims (id, process, number, since)"
                " SELECT 'a', 'p', hours, toUnixTimestamp(now()) - 3600 * hours"
                " FROM (SELECT arrayJoin([0, 2, 3, 30]) AS hours)"
            )
        one.maintain(10, 10, FOREVER)
        for shard in one._shards:
            kept = shard.ask("SELECT number FROM claims WHERE number != 2 ORDER BY number")
            assert kept == [(0,)]


@CLUSTERS
def test_tables_of_before_there_were_claims_are_used_as_they_are(
    servers: list[ClickhouseServer], cluster: str | None
) -> None:
    address = new_address(servers[0])
    with two(address, cluster) as (one, _):
        assert send(one, "one", "a")
        for shard in one._shards:
            shard.do("DROP TABLE claims")
    with two(address, cluster) as (one, other):
        assert send(other, "other", "a", "b")
        assert counted(one) == {"a": 1, "b": 1}


@CLUSTERS
def test_only_what_another_backend_holds_is_not_stored(servers: list[ClickhouseServer], cluster: str | None) -> None:
    with two(new_address(servers[0]), cluster) as (one, other):
        assert send(other, "before", "d")
        # It dies between claim and commit.
        one._ledger.claim(1, ["a", "x"])
        assert send_in_parts(other, "other", "a", "b", "c", "d") == {"a"}
        assert counted(one) == {"b": 1, "c": 1, "d": 1}
        one._ledger.give_back(1, ["a", "x"])
        assert send_in_parts(other, "again", "a", "b") == set()
        other.maintain(DAY, DAY, FOREVER)
        assert counted(one) == {"a": 1, "b": 1, "c": 1, "d": 1}


@CLUSTERS
def test_what_two_backends_write_in_parts_counts_once(servers: list[ClickhouseServer], cluster: str | None) -> None:
    """Each has batches that the other has not, which it stores the first time."""
    both = threading.Barrier(2)
    with two(new_address(servers[0]), cluster) as stores, ThreadPoolExecutor(2) as workers:

        def send_all(number: int) -> None:
            for batch in range(ROUNDS // 2):
                both.wait(PATIENCE)
                own = [f"{batch} of {number}, {each}" for each in range(3)]
                held = send_in_parts(stores[number], f"{number} {batch}", f"{batch}", *own)
                assert held <= {f"{batch}"}
                send_until_stored(stores[number], f"{number} {batch} again", *held)

        list(workers.map(send_all, range(2)))
        names = {name for batch in range(ROUNDS // 2) for name in (f"{batch}", *own_names(batch))}
        assert counted(stores[0]) == counted(stores[1]) == dict.fromkeys(names, 1)


def own_names(batch: int) -> list[str]:
    return [f"{batch} of {number}, {each}" for number in range(2) for each in range(3)]


def test_a_flush_that_counts_is_written_again_whoever_claims_its_batches(servers: list[ClickhouseServer]) -> None:
    """Its sender's answer was lost: what has no name in it would count twice if it were made anew."""
    with two(new_address(servers[0])) as (one, other):
        one.write(flush("one", ["a", "b"]))
        other._ledger.claim(1, ["a"])
        one.write(flush("one", ["a", "b"]))
        assert counted(other) == {"a": 1, "b": 1}
        # Of what came long before, it is asked for again.
        for number in range(8):
            one.write(flush(f"{number}", [f"{number}"]))
        with pytest.raises(StoredElsewhereError, match="another backend is storing 1 of the 2 batches"):
            one.write(flush("one", ["a", "b"]))


def test_a_flush_whose_batches_another_backend_has_claimed_is_given_up_and_not_held(
    servers: list[ClickhouseServer],
) -> None:
    """What it has claimed itself it gives back: a third backend takes that at once."""
    with two(new_address(servers[0])) as (one, other):
        one._ledger.claim(1, ["a"])
        with pytest.raises(StoredElsewhereError, match="another backend is storing 1 of the 2 batches") as raised:
            other.write(flush("other", ["a", "b"]))
        assert raised.value.held == {"a"}
        assert {batch for each in one._ledger.claimed(["a", "b"]) for batch in each.batches} == {"a"}
        assert counted(one) == {}
