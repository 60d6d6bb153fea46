import random
from collections import Counter

import pytest

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from tests.fuzz import access_logs
from tests.fuzz.mutations import run


def test_damaged_streams_are_accounted_for_to_the_last_log(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    check = access_logs.check_flush

    def checked(batch: LogBatch, resolver: Resolver) -> None:
        seen["batches"] += 1
        seen["logs"] += len(batch)
        check(batch, resolver)

    monkeypatch.setattr(access_logs, "check_flush", checked)
    run(access_logs.target, 20_261, 400)
    # Streams that are refused as a whole would show nothing of what comes behind the decoder.
    assert seen["batches"] > 100
    assert seen["logs"] > 300


def test_a_failure_names_its_seed() -> None:
    def fails(_source: random.Random) -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong") as caught:
        run(fails, 7, 1)
    assert caught.value.__notes__ == ["seed 7"]
