"""Every order in which two backends claim, look and commit, and everything that can become of each of these steps."""

from dataclasses import replace

import pytest

from backend.storage import clickhouse_commits, clickhouse_ledger
from backend.storage.clickhouse_commits import Commits
from backend.storage.interface import StoredElsewhereError
from tests.delivery import claims_model
from tests.delivery.claims_model import Answer, Store, World, explore


@pytest.mark.parametrize(
    ("faults", "writes", "attempts"),
    [(0, 3, clickhouse_commits._ATTEMPTS), (1, 3, 1), (1, 2, 2), (2, 2, 1)],
    ids=["none", "one, more writes", "one, more claims", "two"],
)
def test_a_batch_counts_once_whatever_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, faults: int, writes: int, attempts: int
) -> None:
    monkeypatch.setattr(claims_model, "TRIES", writes)
    monkeypatch.setattr(clickhouse_commits, "_ATTEMPTS", attempts)
    assert explore(faults) > 10_000


def is_noticed(monkeypatch: pytest.MonkeyPatch, faults: int = 1, what: str = "it counts 2 times") -> bool:
    monkeypatch.setattr(clickhouse_commits, "_ATTEMPTS", 1)
    with pytest.raises(AssertionError, match=what):
        explore(faults)
    return True


def test_it_is_noticed_when_a_flush_that_counts_is_claimed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would then be made anew, as another backend may have claimed a batch of it; and count once more."""
    monkeypatch.setattr(claims_model, "TRIES", 3)
    monkeypatch.setattr(Commits, "_remember", lambda _self, _commit: None)
    assert is_noticed(monkeypatch, what="what is sent once is in several flushes")


def test_it_is_noticed_when_what_another_backend_holds_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    unnamed = StoredElsewhereError("another backend has all of it", claims_model.BATCHES["last"])
    monkeypatch.setattr(clickhouse_commits, "StoredElsewhereError", lambda *_, **__: unnamed)
    assert is_noticed(monkeypatch, faults=0, what="what nobody else has is held up")


def test_it_is_noticed_when_nobody_looks_at_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = Store._claimed

    def own(self: Store, asks: str, batches: tuple[str, ...]) -> tuple[Store, Answer]:
        store, answer = claimed(self, asks, batches)
        return store, Answer(frozenset(one for one in answer.value if one.process == asks))

    monkeypatch.setattr(Store, "_claimed", own)
    assert is_noticed(monkeypatch)


def test_it_is_noticed_when_claims_of_the_dead_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the next process of the same name might do: a commit of the dead one may still be on its way."""
    dead = World._dead

    def give_back(self: World, process: str) -> World:
        left = frozenset(claim for claim in self.store.claims if claim[0] != process)
        return replace(dead(self, process), store=replace(self.store, claims=left))

    monkeypatch.setattr(World, "_dead", give_back)
    assert is_noticed(monkeypatch)


def test_it_is_noticed_when_the_server_takes_commits_of_old_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_ledger, "COMMIT_SECONDS", 1_000)
    assert is_noticed(monkeypatch)


def test_it_is_noticed_when_claims_are_void_before_their_commits_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_ledger, "VOID_SECONDS", clickhouse_ledger.COMMIT_SECONDS)
    assert is_noticed(monkeypatch, faults=2)
