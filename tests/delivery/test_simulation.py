"""Histories of delivery with everything that can go wrong; `python -m tests.delivery.histories` has any number."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple

import pytest

from agent.export.accounting import Ledger
from backend.ingest.batch import LogBatch
from backend.metrics.pipeline import Pipeline
from backend.storage.clickhouse_ledger import Claimed
from tests.delivery.shared_store import _Ledger
from tests.delivery.simulation import History, simulate


@pytest.fixture(scope="module")
def histories() -> Sequence[History]:
    return [
        *(simulate(seed, "memory") for seed in range(1, 25)),
        *(simulate(seed, "duckdb") for seed in range(41, 44)),
        *(simulate(seed, "shared") for seed in range(51, 57)),
    ]


def test_all_that_goes_wrong_happens(histories: Sequence[History]) -> None:
    """Otherwise it would say little that every promise was kept."""
    lost: Counter[str] = Counter()
    for history in histories:
        lost.update(history.lost)
    assert set(lost) == {"killed", "spool_full", "queue_full"}
    assert sum(history.agent_deaths for history in histories) > 10
    assert sum(history.backend_deaths for history in histories) > 50
    delivered = sum(history.delivered for history in histories)
    assert delivered > 500
    assert delivered <= sum(history.stored for history in histories) < sum(history.captured for history in histories)


def test_a_seed_is_a_history(histories: Sequence[History]) -> None:
    assert astuple(simulate(7)) == astuple(histories[6])


def broken(seeds: range, medium: str = "memory") -> bool:
    """Whether a promise is broken in one of some histories."""
    for seed in seeds:
        try:
            simulate(seed, medium)
        except AssertionError as error:
            assert f"--seed {seed}" in error.__notes__[0]  # noqa: PT017 - it is not expected of each
            return True
    return False


def test_it_is_noticed_when_the_store_does_not_know_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(_self: Pipeline, batches: Sequence[LogBatch], _writer: str) -> list[LogBatch]:
        return list(batches)

    monkeypatch.setattr(Pipeline, "_unstored", all_of_them)
    assert broken(range(1, 25))


def test_it_is_noticed_when_backends_do_not_look_at_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = _Ledger.claimed

    def own(self: _Ledger, batches: Sequence[str]) -> list[Claimed]:
        return [claim for claim in claimed(self, batches) if claim.process == self._process]

    monkeypatch.setattr(_Ledger, "claimed", own)
    assert broken(range(23, 200), "shared")


def test_it_is_noticed_when_a_kill_forgets_what_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Ledger._settle

    def forgetful(self: Ledger, _place: int | None) -> None:
        settle(self, None)

    monkeypatch.setattr(Ledger, "_settle", forgetful)
    monkeypatch.setattr(Ledger, "forget", lambda _self, _place: None)
    assert broken(range(1, 25))
