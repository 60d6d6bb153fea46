"""Every bound of a question is hit, and says what to do."""

from collections.abc import Iterator

import pytest

from backend.query.catalog import Catalog
from backend.query.graphql.service_book import ServiceBook
from backend.query.promql import budget, functions, matching, storage_source, values
from backend.query.promql.budget import Budget
from backend.query.promql.entity_labels import EntityLabels
from backend.query.promql.errors import Kind, PromqlError
from backend.query.promql.evaluator import Range
from backend.query.promql.parsing import parse
from backend.query.promql.questions import evaluated
from backend.query.promql.storage_source import StorageSource
from backend.storage.memory import MemoryStorage
from tests.backend.query import world
from tests.backend.query.conftest import DEFINITIONS
from tests.backend.query.promql.drawing import START, ListSource
from tests.backend.query.promql.reference import Series

END = START + 9 * 60_000
ASKED = Range(START, END, 60_000)
SOURCE = ListSource(
    [Series({"__name__": "x", "n": str(n)}, {START + minute * 60_000: 1.0 for minute in range(10)}) for n in range(3)]
)


def ask(text: str, limits: Budget | None = None) -> object:
    return evaluated(parse(text), ASKED, SOURCE, limits or Budget())


def refused(text: str, limits: Budget | None = None) -> PromqlError:
    with pytest.raises(PromqlError) as error:
        ask(text, limits)
    return error.value


def test_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAXIMUM_SERIES", 3)
    ask("x")
    monkeypatch.setattr(budget, "MAXIMUM_SERIES", 2)
    assert "about 3 series, more than 2: select by service" in str(refused("x"))


def test_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten minutes, and the four before them that may have the sample that stands at the first.
    monkeypatch.setattr(budget, "MAXIMUM_SAMPLES", 42)
    ask("x")
    monkeypatch.setattr(budget, "MAXIMUM_SAMPLES", 41)
    assert "3 series of 14 samples, together more than 41" in str(refused("x"))


def test_samples_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three series, ten times, five samples for each.
    monkeypatch.setattr(budget, "MAXIMUM_STEPS", 150)
    ask("x")
    monkeypatch.setattr(budget, "MAXIMUM_STEPS", 149)
    assert "look at more than 149 samples" in str(refused("x"))


def test_values_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAXIMUM_WRITTEN", 30)
    ask("x")
    monkeypatch.setattr(values, "MAXIMUM_WRITTEN", 29)
    assert "the answer has 30 values, more than 29" in str(refused("x"))


def test_time() -> None:
    now: Iterator[float] = iter(range(1_000))
    error = refused("x + x + x + x", Budget(5.0, lambda: next(now)))
    assert error.kind is Kind.TIMEOUT
    assert "takes longer than 5 seconds" in str(error)


def test_a_timeout_is_no_longer_than_the_longest() -> None:
    moments = iter([0.0, budget.MAXIMUM_SECONDS + 1])
    with pytest.raises(PromqlError, match="30 seconds"):
        Budget(1e9, lambda: next(moments)).check()


def test_patterns() -> None:
    matching.pattern("x" * matching.LONGEST_PATTERN)
    with pytest.raises(PromqlError, match="longer than 4,096 characters"):
        matching.pattern("x" * (matching.LONGEST_PATTERN + 1))
    with pytest.raises(PromqlError, match="is not a regular expression of RE2"):
        matching.pattern("(?:x{900}){900}")


def test_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MAXIMUM_LABEL", 3)
    ask('label_join(x, "m", "-", "n", "n")')
    assert "longer than 3 characters" in str(refused('label_join(x, "m", "--", "n", "n")'))


def test_stored_rows_are_read_in_parts_and_no_more_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    world.fill(storage)
    now = world.NOW_MINUTE * 60_000

    def select() -> object:
        labels = EntityLabels(ServiceBook(storage))
        source = StorageSource(storage, Catalog(DEFINITIONS), labels, Budget(), lambda: world.NOW)
        return evaluated(parse("sum_over_time(kubernetes_service_read_cpm[1h])"), Range(now, now), source, Budget())

    whole = select()
    # One minute at first, and four times as many as there is room for each time.
    monkeypatch.setattr(storage_source, "FIRST_ROWS", 1)
    assert select() == whole
    monkeypatch.setattr(storage_source, "MAXIMUM_SAMPLES", 26)
    with pytest.raises(PromqlError, match="more than 26 stored values"):  # nine minutes of three services are 27
        select()
