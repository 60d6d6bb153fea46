"""Expressions of one request read together what they would read one by one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.ids import service_id, service_relation_id
from backend.query.graphql import read_ahead
from backend.query.graphql.read_ahead import ReadAhead
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, MeasureSchema, Precision
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import NOW, asking
from tests.backend.query.world import frame

MINUTE = int(NOW) // 60
CPM, OTHER = "kubernetes_service_http_call_cpm", "kubernetes_service_connect_cpm"
RELATION = "kubernetes_service_relation_client_http_call_cpm"
NAMES = [f"s{number}" for number in range(6)]
HOUR = {"start": "2027-01-15 0701", "end": "2027-01-15 0800", "step": "MINUTE"}
ROWS = [(CPM, service_id(name), MINUTE, number + 1, 0) for number, name in enumerate(NAMES)]
ROWS += [(OTHER, service_id(name), MINUTE, 10 * (number + 1), 0) for number, name in enumerate(NAMES)]
ROWS += [(RELATION, service_relation_id(service_id("s0"), service_id("s1")), MINUTE, 77, 0)]


class Counting(MemoryStorage):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[list[str], list[str]]] = []
        self.write(Flush("one", frame(ROWS)))

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        self.asked.append((list(names), list(entities)))
        return super().metrics(names, entities, first_minute, last_minute, precision)


def batch(expressions: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    variables: dict[str, Any] = {"duration": HOUR}
    for number, (expression, entity) in enumerate(expressions):
        variables |= {f"expression{number}": expression, f"entity{number}": entity}
    return documents.booster_expressions(len(expressions)), variables


def value(result: dict[str, Any]) -> str | None:
    assert result["error"] is None
    found: str | None = result["results"][0]["values"][-1]["value"]
    return found


async def test_a_map_is_read_with_one_question_for_each_metric() -> None:
    storage = Counting()
    document, variables = batch([(metric, {"serviceName": name}) for name in NAMES for metric in (CPM, OTHER)])
    async with asking(storage) as client:
        answer = await client.answer(document, **variables)
    expected = [str(number) for one in range(1, 7) for number in (one, 10 * one)]
    assert [value(result) for result in answer.values()] == expected
    everybody = sorted(map(service_id, NAMES))
    assert storage.asked == [([CPM], everybody), ([OTHER], everybody)]


async def test_arguments_within_the_document_are_read_together_too() -> None:
    storage = Counting()
    fields = " ".join(
        f'{name}: execExpression(expression: "{CPM}", entity: {{serviceName: "{name}", normal: true}}, duration: $d)'
        f" {documents.EXPRESSION_FIELDS}"
        for name in NAMES
    )
    async with asking(storage) as client:
        answer = await client.answer(f"query ($d: Duration!) {{ {fields} }}", d=HOUR)
    assert [value(answer[name]) for name in NAMES] == ["1", "2", "3", "4", "5", "6"]
    assert len(storage.asked) == 1


async def test_services_and_relations_find_their_own() -> None:
    relation = {"serviceName": "s0", "destServiceName": "s1"}
    document, variables = batch([(CPM, {"serviceName": "s0"}), (RELATION, relation), (CPM, {"serviceName": "s1"})])
    async with asking(Counting()) as client:
        answer = await client.answer(document, **variables)
    assert [value(result) for result in answer.values()] == ["1", "77", "2"]


async def test_expressions_about_one_entity_ask_for_it_alone() -> None:
    storage = Counting()
    document, variables = batch([(CPM, {"serviceName": "s0"}), (OTHER, {"serviceName": "s0"})])
    async with asking(storage) as client:
        await client.answer(document, **variables)
    assert storage.asked == [([CPM], [service_id("s0")]), ([OTHER], [service_id("s0")])]


async def test_requests_share_nothing() -> None:
    storage = Counting()
    document, variables = batch([(CPM, {"serviceName": name}) for name in NAMES])
    async with asking(storage) as client:
        await client.answer(document, **variables)
        await client.answer(document, **variables)
    assert len(storage.asked) == 2


def test_too_much_is_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Counting()
    known = frozenset({"a", "b"})
    monkeypatch.setattr(read_ahead, "MAXIMUM_AHEAD", 6)
    ReadAhead(storage, known).metrics([CPM], ["a"], 0, 2)
    ReadAhead(storage, known).metrics([CPM], ["a"], 0, 3)
    ReadAhead(storage, known).metrics([CPM], ["a"], 0, 179, Precision.HOUR)
    assert [entities for _, entities in storage.asked] == [["a", "b"], ["a"], ["a", "b"]]


def test_so_many_reads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Counting()
    monkeypatch.setattr(read_ahead, "MAXIMUM_KEPT", 1)
    together = ReadAhead(storage, frozenset({"a", "b"}))
    for metric in (CPM, OTHER, CPM):
        together.metrics([metric], ["a"], 0, 2)
    assert storage.asked == [([CPM], ["a", "b"]), ([OTHER], ["a"])]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbStorage]:
    path: Path = tmp_path_factory.mktemp("ahead") / "store.duckdb"
    storage = DuckdbStorage(path)
    measures = pl.DataFrame(
        [("m", "", service_id(name), MINUTE - number, 1.5, 1, 1.5, 1.5) for number, name in enumerate(NAMES)],
        schema=MeasureSchema,
        orient="row",
    )
    rows = [*ROWS, *((CPM, service_id(name), MINUTE - 100 * number, 5, 0) for number, name in enumerate(NAMES))]
    storage.write(Flush("one", frame(rows), measures=measures))
    yield storage
    storage.close()


@settings(deadline=None, max_examples=60)
@given(
    known=st.frozensets(st.sampled_from(NAMES), min_size=1),
    asked=st.lists(
        st.tuples(
            st.lists(st.sampled_from([CPM, OTHER, "m"]), min_size=1, unique=True),
            st.lists(st.sampled_from(NAMES), unique=True),
            st.integers(MINUTE - 500, MINUTE),
            st.sampled_from(Precision),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_what_is_read_is_what_the_store_gives(
    stored: DuckdbStorage, known: frozenset[str], asked: list[tuple[list[str], list[str], int, Precision]]
) -> None:
    together = ReadAhead(stored, frozenset(map(service_id, known)))
    for names, services, first, precision in asked:
        entities = [service_id(name) for name in services]
        for read, direct in ((together.metrics, stored.metrics), (together.measures, stored.measures)):
            expected = direct(names, entities, first, MINUTE, precision)
            assert read(names, entities, first, MINUTE, precision).equals(expected)
