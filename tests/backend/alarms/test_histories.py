"""The engine against the reference, over random histories of metrics, rules, restarts and metrics that are gone."""

import tempfile
from pathlib import Path
from unittest.mock import patch

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.alarms import known_entities, minute
from backend.alarms.engine import Engine
from backend.alarms.loading import load
from backend.alarms.record_file import FileRecords
from backend.alarms.rules import Rule
from backend.entities.ids import instance_id, service_id
from backend.oal.loader import load_texts
from backend.query.catalog import Catalog
from backend.query.graphql.alarms import AlarmQuery
from backend.query.graphql.inputs import Page
from backend.storage.interface import Flush, MeasureSchema, MetricSchema, Service
from backend.storage.memory import MemoryStorage
from tests.backend.alarms.reference import ReferenceEngine
from tests.backend.alarms.world import CPM, DEFINITIONS, LAYER, MINUTE, RATE, TIME

PERCENTILE, INSTANCE_CPM = "kubernetes_service_percentile", "kubernetes_service_instance_read_cpm"
LARGEST, BY_METHOD = "largest", "by_method"
OWN = load_texts(
    {
        "own": f'{LARGEST} = from(K8SService.protocol.http.latency).filter(type == "protocol").max();\n'
        f"{BY_METHOD} = from(K8SService.protocol.http.method).labelCount(protocol.http.method, 9);"
    }
)
WHOLE = Catalog([*DEFINITIONS, *OWN.definitions])
WITHOUT_TIME = Catalog(one for one in [*DEFINITIONS, *OWN.definitions] if one.name != TIME)
NAMES = [f"s-{number}" for number in range(5)]
SERVICES = {name: service_id(name) for name in NAMES}
INSTANCES = [instance_id(SERVICES[name], "i") for name in NAMES[:3]]
LENGTH = 14
"""Minutes of a history."""
KEPT = AlarmQuery(0, 1 << 60, Page(0, 1_000))

EXPRESSIONS = [
    f"sum({CPM}) > 3",
    f"avg({TIME}) > 1000",
    f"(avg({RATE}) < 9500) && (sum({CPM}) >= 2)",
    f"sum({PERCENTILE}{{p='95,50'}} > 20) >= 2",
    f"(sum(view_as_seq({TIME}, {CPM} * 0)) < sum({CPM}) * 500) && (sum({CPM}) >= 2)",
    f"(is_present({TIME}) == 0) && (latest({CPM}) > 1)",
    f"max(sort_values({BY_METHOD}, 1, des, sum)) >= 3",
    f"sum(aggregate_labels({BY_METHOD}, max)) - count({CPM}) > 2",
    f"max(increase({CPM}, 2)) >= 2",
    f"max({LARGEST}) >= 50",
    f"sum({INSTANCE_CPM}) >= 4",
]
FILTERS = [
    "",
    "include-names: [s-1, s-3, i of s-1]",
    "exclude-names: [s-0]",
    "include-names-regex: '.*s-[0-2]'",
    "exclude-names-regex: 's-[12]', exclude-names: [s-4]",
]


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file of rules. Some have the names of those of the others."""
    lines = ["rules:"]
    for name in draw(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=3, unique=True)):
        fields = [
            f'expression: "{draw(st.sampled_from(EXPRESSIONS))}"',
            f"period: {draw(st.integers(1, 4))}",
            f"silence-period: {draw(st.integers(0, 3))}",
            f"recovery-observation-period: {draw(st.integers(0, 2))}",
            draw(st.sampled_from(FILTERS)),
        ]
        lines.append(f"  {name}_rule: {{{', '.join(field for field in fields if field)}}}")
    return "\n".join(lines) if len(lines) > 1 else "rules: {}"


Row = tuple[str, str, str, int, int, int]
services = st.sampled_from([*SERVICES.values(), "no id"])
small = st.integers(0, 4)
rows = st.one_of(
    st.tuples(st.just(CPM), st.just(""), services, st.integers(0, LENGTH), small, st.just(0)),
    st.tuples(st.just(TIME), st.just(""), services, st.integers(0, LENGTH), st.integers(0, 4_000_000_000), small),
    st.tuples(st.just(RATE), st.just(""), services, st.integers(0, LENGTH), small, st.integers(4, 5)),
    st.tuples(st.just(PERCENTILE), st.sampled_from(["3", "30"]), services, st.integers(0, LENGTH), small, st.just(0)),
    st.tuples(
        st.just(BY_METHOD), st.sampled_from(["GET", "PUT", "POST"]), services, st.integers(0, LENGTH), small, small
    ),
    st.tuples(
        st.just(INSTANCE_CPM), st.just(""), st.sampled_from(INSTANCES), st.integers(0, LENGTH), small, st.just(0)
    ),
)
measures = st.tuples(services, st.integers(0, LENGTH), st.floats(0, 1e8))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Row], list[tuple[str, int, float]]]:
    """Rows in minutes after MINUTE. Most services have calls in most minutes."""
    steady = [
        (CPM, "", entity, at, draw(small), 0)
        for entity in draw(st.lists(st.sampled_from(list(SERVICES.values())), unique=True))
        for at in range(LENGTH)
    ]
    return [*steady, *draw(st.lists(rows, max_size=60))], draw(st.lists(measures, max_size=6))


def store(history: tuple[list[Row], list[tuple[str, int, float]]]) -> MemoryStorage:
    storage = MemoryStorage()
    points = pl.DataFrame(
        [(*row[:3], MINUTE + row[3], *row[4:]) for row in history[0]], schema=MetricSchema, orient="row"
    )
    extremes = pl.DataFrame(
        [(LARGEST, "", entity, MINUTE + at, value, 1, value, value) for entity, at, value in history[1]],
        schema=MeasureSchema,
        orient="row",
    )
    # Some services have no layer.
    known = [Service(identity, name, LAYER, MINUTE, MINUTE) for name, identity in list(SERVICES.items())[:3]]
    storage.write(Flush("w", points, known, measures=extremes))
    return storage


def rules_of(folder: Path, text: str) -> tuple[Rule, ...]:
    file = folder / "alarms.yml"
    file.write_text(text)
    return load(file, WHOLE).rules


@settings(max_examples=40, deadline=None)
@given(
    histories(),
    st.dictionaries(st.integers(1, LENGTH), files(), max_size=2),
    files(),
    st.sets(st.integers(1, LENGTH)),
    st.sets(st.integers(0, LENGTH), max_size=2),
    st.sampled_from([(20_000, 10_000), (3, 2), (4, 20), (20_000, 1)]),
    st.sampled_from([200_000, 2]),
)
def test_every_minute_is_as_the_reference_says(  # noqa: PLR0917 - what a history is made of
    history: tuple[list[Row], list[tuple[str, int, float]]],
    changes: dict[int, str],
    text: str,
    restarts: set[int],
    gone: set[int],
    bounds: tuple[int, int],
    most_known: int,
) -> None:
    storage = store(history)
    now = [0]
    catalog = lambda: WITHOUT_TIME if now[0] in gone else WHOLE  # noqa: E731 - one expression of this history
    with (
        tempfile.TemporaryDirectory() as name,
        patch.object(minute, "MAXIMUM_ENTITIES", bounds[0]),
        patch.object(minute, "MAXIMUM_STANDING", bounds[1]),
        patch.object(known_entities, "MAXIMUM_KNOWN", most_known),
    ):
        folder = Path(name)
        reference = ReferenceEngine(storage, catalog, *bounds)
        reference.rules = rules_of(folder, text)
        records = FileRecords(folder / "alarms.sqlite")
        engine = Engine(storage, catalog, records, reference.rules)
        for at in range(LENGTH + 1):
            now[0] = at
            if at in changes:
                reference.rules = rules_of(folder, changes[at])
                engine.use(reference.rules)
            if at in restarts:
                records.close()
                records = FileRecords(folder / "alarms.sqlite")
                engine = Engine(storage, catalog, records, reference.rules)
                # A restart reads them in the order of the file.
                reference.standing = dict(sorted(reference.standing.items()))
                reference.checked = 0
                reference.failed.clear()
                reference.left_out.clear()
            assert engine.check(MINUTE + at) == reference.check(MINUTE + at)
            assert records.load().standing == reference.standing
            assert (engine.checked, engine.failed) == (reference.checked, reference.failed)
            assert engine.left_out == reference.left_out
        found = records.find(KEPT)
        records.close()
    assert sorted(found.alarms, key=repr) == sorted(reference.alarms.values(), key=repr)
