"""Labels that a store knows are those that came first, also after a restart."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.batch import LogKind
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.metrics.stored_labels import StoredLabels
from backend.oal import labels as labels_module
from backend.oal.labels import MINUTES_OF_A_DAY, LabelLoss, Labels
from backend.oal.loader import load_texts
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, MetricSchema, Precision, Retention, Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.metrics.test_pipeline import NOW, batch

DAY = 20_000
FIRST = DAY * MINUTES_OF_A_DAY
METRICS = load_texts({"z": "kinds = from(K8SService.*).labelCount(type, 2);"})


@pytest.fixture(params=["memory", "duckdb"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    found: Storage = MemoryStorage() if request.param == "memory" else DuckdbStorage(tmp_path / "store.duckdb")
    yield found
    found.close()


def write(storage: Storage, *rows: tuple[str, str, str, int]) -> None:
    """Write values of metric, label, entity and minute."""
    full = [(*row, 1, 0) for row in rows]
    storage.write(Flush(repr(rows), pl.DataFrame(full, schema=MetricSchema, orient="row")))


def test_labels_are_those_of_the_metric_in_the_day_each_once(storage: Storage) -> None:
    write(storage, ("m", "a", "e", FIRST), ("m", "a", "e", FIRST + 1_439), ("m", "b", "f", FIRST + 61))
    write(storage, ("n", "c", "e", FIRST), ("m", "d", "e", FIRST - 1), ("m", "d", "e", FIRST + 1_440))
    for _ in range(2):
        found = StoredLabels(storage)("m", DAY)
        assert found is not None
        assert sorted(found.select("entity", "label").rows()) == [("e", "a"), ("f", "b")]
        # Also when hours and days were made of the minutes.
        storage.maintain(FIRST + 3_000, FIRST + 3_000, Retention())


class Failing(MemoryStorage):
    """A store that cannot be asked as often as it is told."""

    failures = 0

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        if self.failures:
            self.failures -= 1
            raise StorageError("away")
        return super().metrics(names, entities, first_minute, last_minute, precision)


def rows(*labels: str) -> pl.DataFrame:
    """Values of an entity, one for each label."""
    schema = {"label": pl.String, "entity": pl.String, "minute": pl.Int32, "summation": pl.Int64}
    return pl.DataFrame([(label, "e", FIRST, 1) for label in labels], schema=schema, orient="row")


def test_a_store_that_cannot_be_asked_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing()
    write(failing, ("m", "a", "e", FIRST), ("m", "b", "e", FIRST))
    failing.failures = 1
    labels = Labels(recall=StoredLabels(failing))
    # Nothing is known yet, and nothing is lost for it.
    assert labels.admit("m", rows("c"), 3)["label"].to_list() == ["c"]
    assert "which labels m has is asked again at the next flush, as the store failed: away" in caplog.text
    assert labels.admit("m", rows("d", "a"), 3)["label"].to_list() == ["a"]
    assert labels.refused == {LabelLoss.MAXIMUM: 1}
    failing.failures = 1
    labels.admit("m", rows("a"), 3)
    assert failing.failures == 1, "it was asked though it had answered"


def test_what_is_recalled_is_bounded_too() -> None:
    stored = MemoryStorage()
    write(stored, *(("m", label, "e", FIRST) for label in "abcd"))
    labels = Labels(3, recall=StoredLabels(stored))
    assert labels.admit("m", rows(*"abcde"), 9)["label"].to_list() == ["a", "b", "c"]
    assert len(labels) == 3
    assert labels.refused == {LabelLoss.MEMORY: 2}


def test_days_that_were_asked_for_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "MAXIMUM_RECALLED", 2)
    asked = []

    def recall(metric: str, _day: int) -> pl.DataFrame | None:
        asked.append(metric)
        return rows().select("entity", "label")

    labels = Labels(recall=recall)
    for metric in ("a", "b", "a", "b", "c", "c", "a"):
        labels.admit(metric, rows("x"), 1)
    assert asked == ["a", "b", "c", "a"]


@given(st.lists(st.tuples(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), st.booleans()), max_size=8))
def test_restarts_change_nothing(flushes: list[tuple[list[str], bool]]) -> None:
    stored = MemoryStorage()
    restarted, steady = Labels(recall=StoredLabels(stored)), Labels()
    for number, (given_labels, restarts) in enumerate(flushes):
        if restarts:
            restarted = Labels(recall=StoredLabels(stored))
        taken = restarted.admit("m", rows(*given_labels), 3)
        assert taken.equals(steady.admit("m", rows(*given_labels), 3))
        full = taken.select(pl.lit("m").alias("metric"), "label", "entity", "minute", "summation", count=0)
        storage_rows = full.cast(MetricSchema)  # type: ignore[arg-type] # a dict of types
        stored.write(Flush(str(number), storage_rows))


async def test_d14_a_pipeline_that_starts_again_goes_on_with_the_labels_of_the_one_before(storage: Storage) -> None:
    refused = []
    for kinds in ((LogKind.READ, LogKind.WRITE), (LogKind.CLOSE, LogKind.READ)):
        settings = PipelineSettings(interval=0.0, retry_delay=0.0)
        pipeline = Pipeline(storage, METRICS, settings=settings, clock=lambda: NOW * 60.0)
        await pipeline.start()
        given_batch = batch(2)
        given_batch.kind[:] = kinds
        await pipeline.submit(given_batch)
        await pipeline.stop()
        value = pipeline.telemetry.registry.get_sample_value
        refused.append(value("pyrover_analysis_labels_refused_total", {"cause": "maximum"}))
    found = await asyncio.to_thread(storage.metrics, ["kinds"], [], 0, NOW)
    assert dict(found.select("label", "summation").rows()) == {"read": 2, "write": 1}
    assert refused == [0, 1]
