"""Every order in which two backends claim, look and commit, and everything that can become of each of these steps."""

import pytest

from backend.storage import clickhouse_commits, clickhouse_ledger
from tests.delivery.claims_model import Answer, Store, explore


@pytest.mark.parametrize(
    ("faults", "attempts"), [(0, clickhouse_commits._ATTEMPTS), (1, 2), (2, 1)], ids=["none", "one", "two"]
)
def test_a_batch_counts_once_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch, faults: int, attempts: int) -> None:
    monkeypatch.setattr(clickhouse_commits, "_ATTEMPTS", attempts)
    assert explore(faults) > 5_000


def is_noticed(monkeypatch: pytest.MonkeyPatch, faults: int = 1) -> bool:
    monkeypatch.setattr(clickhouse_commits, "_ATTEMPTS", 1)
    with pytest.raises(AssertionError, match="it counts 2 times"):
        explore(faults)
    return True


def test_it_is_noticed_when_nobody_looks_at_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = Store._claimed

    def own(self: Store, asks: str, batches: object) -> tuple[Store, Answer]:
        store, answer = claimed(self, asks, batches)
        return store, Answer(frozenset(one for one in answer.value if one.process == asks))

    monkeypatch.setattr(Store, "_claimed", own)
    assert is_noticed(monkeypatch)


def test_it_is_noticed_when_the_server_takes_commits_of_old_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_ledger, "COMMIT_SECONDS", 1_000)
    assert is_noticed(monkeypatch)


def test_it_is_noticed_when_claims_are_void_before_their_commits_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_ledger, "VOID_SECONDS", clickhouse_ledger.COMMIT_SECONDS)
    assert is_noticed(monkeypatch, faults=2)
