"""What was acknowledged survives the death of the process, once, at every precision."""

import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from backend.entities.ids import service_id
from backend.metrics.journal import has_segments
from backend.server.settings import JOURNAL, STORE
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Precision
from tests.backend.server.processes import backend
from tests.backend.server.senders import Ledger, Sender, minute_now, stream_of

METRIC = "kubernetes_service_read_package_size"
LOGS = 7
SERVICES = ("shop", "cart", "stock")
DEATHS = 3
ALWAYS = {
    "PYROVER_BACKEND_LIMITS_JOURNAL_BYTES": "100000000",
    "PYROVER_BACKEND_TIMES_JOURNAL_AFTER_SECONDS": "1e-9",
}
"""Every flush is slow, so that all but the first logs are journaled, and stored a second after a segment began."""


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "most"), [({}, 40), (ALWAYS, 80)], ids=["stored", "journaled"])
def test_nothing_that_was_acknowledged_is_lost_or_counted_twice(
    environment: dict[str, str], most: int, tmp_path: Path
) -> None:
    chance = random.Random(20261126)
    now = minute_now()
    # Open minutes, minutes that are merged as soon as the store is tidied up, and minutes of other hours and days.
    minutes = [now - 1_500, now - 65, now - 3, now]
    ledger = Ledger()
    left = 0
    for _ in range(DEATHS):
        with backend(tmp_path, environment=environment) as (process, addresses):
            # What a process left in its journal is stored before the next accepts anything.
            assert not has_segments(tmp_path / JOURNAL)
            senders = [
                Sender(addresses["grpc"], service, stream_of(service, minutes, LOGS), ledger) for service in SERVICES
            ]
            for sender in senders:
                sender.start()
            ledger.wait_for(ledger.acknowledged.total() + chance.randrange(10, most))
            process.send_signal(signal.SIGKILL)
            for sender in senders:
                sender.join()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        left += has_segments(tmp_path / JOURNAL)
    assert (left > 0) == bool(environment)
    # What is journaled is stored also by a backend that does not journal.
    with backend(tmp_path) as (process, addresses):
        assert not has_segments(tmp_path / JOURNAL)
        last = Sender(addresses["grpc"], "shop", stream_of("shop", minutes, LOGS), ledger, most=1)
        last.start()
        last.join()
        process.terminate()
        process.communicate()
        assert process.returncode == 0
    assert not has_segments(tmp_path / JOURNAL)
    assert ledger.acknowledged["shop"] > 0

    storage = DuckdbStorage(tmp_path / STORE)
    try:
        found = {
            precision: storage.metrics([METRIC], [], 0, 1 << 30, precision)
            .select("entity", "minute", "summation")
            .rows()
            for precision in Precision
        }
    finally:
        storage.close()
    stored = {(entity, minute): total for entity, minute, total in found[Precision.MINUTE]}
    assert len(stored) == len(SERVICES) * len(minutes)
    for service in SERVICES:
        entity = service_id(service)
        streams = {stored[entity, minute] / (LOGS * 10) for minute in minutes}
        # A stream is stored as a whole or not at all, so every minute has the same number of them.
        assert len(streams) == 1
        (count,) = streams
        least = ledger.acknowledged[service]
        assert least <= count <= least + ledger.unknown[service]
    for precision in (Precision.HOUR, Precision.DAY):
        summed: Counter[tuple[str, int]] = Counter()
        for (entity, minute), total in stored.items():
            summed[entity, precision.start(minute)] += total
        assert {(entity, minute): total for entity, minute, total in found[precision]} == dict(summed)
