from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.resolution import Flow, Resolver
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind
from backend.metrics.analysis import analyse
from backend.oal.compiler import Evaluated, Program
from backend.oal.loader import STANDARD as SCRIPTS
from backend.oal.loader import load, load_texts
from backend.oal.logs import EventLogs
from backend.storage.interface import MetricSchema
from tests.backend.oal import reference
from tests.backend.oal.batches import NODE, batches

STANDARD = load(SCRIPTS / "ebpf.oal").definitions
PROGRAM = Program(STANDARD)
COMPATIBLE = Program(STANDARD, zeros_are_values=True)
ROWS = reference.table()

Points = dict[tuple[str, str, int], tuple[int, int]]


def as_points(frame: pl.DataFrame) -> Points:
    assert frame.schema == MetricSchema
    found = {
        (f"{metric}:{label}" if label else metric, entity, minute): (total, count)
        for metric, label, entity, minute, total, count in frame.iter_rows()
    }
    assert len(found) == len(frame), "a metric, label, entity and minute must come once"
    return found


@settings(max_examples=60, deadline=None)
@given(given_batches=st.lists(batches(), min_size=1, max_size=3))
def test_all_standard_metrics_are_what_a_loop_over_logs_and_metrics_finds(given_batches: list[LogBatch]) -> None:
    analysed = analyse(given_batches, Resolver(), PROGRAM, "writer")
    assert as_points(analysed.flush.rows) == reference.evaluate(given_batches, ROWS)


@settings(max_examples=30, deadline=None)
@given(batch=batches())
def test_zeros_count_as_upstream_has_them_when_asked(batch: LogBatch) -> None:
    analysed = analyse([batch], Resolver(), COMPATIBLE, "writer")
    assert as_points(analysed.flush.rows) == reference.evaluate([batch], ROWS, zeros_are_values=True)


def flow(local: str, remote: str, role: DetectPoint = DetectPoint.CLIENT, *, tls: bool = False) -> Flow:
    near, far = (Address(name, f"{name}-1", "", "", 0) for name in (local, remote))
    found = Resolver().resolve(Connection(NODE, near, far, role, tls, 0))
    assert isinstance(found, Flow)
    return found


def logs(flows: list[int], **columns: list[int]) -> EventLogs:
    """Logs of one minute; `l4_size` stands for "write.l4Metrics.totalPackageSize" and so on."""
    wire = {
        "duration": "",
        "size": "write.l4Metrics.totalPackageSize",
        "l4_duration": "write.l4Metrics.totalDuration",
        "success": "connect.success",
        "syscall": "write.syscall",
        "netfilter_count": "write.l3Metrics.totalNetFilterCount",
        "netfilter_duration": "write.l3Metrics.totalNetFilterDuration",
    }
    return EventLogs(
        np.array(flows, np.int32),
        np.full(len(flows), 5, np.int32),
        {wire[name]: np.array(values, np.int64) for name, values in columns.items()},
    )


def evaluated(program: Program, given_logs: Mapping[LogKind, EventLogs], flows: Sequence[Flow]) -> Evaluated:
    describer = program.describer()
    describer.take(flows)
    return program.evaluate(given_logs, describer.describe(np.arange(len(flows))))


def run(
    script: str, given_logs: Mapping[LogKind, EventLogs], flows: list[Flow]
) -> dict[str, dict[str, tuple[int, int]]]:
    """By metric, then by the names in the entity."""
    program = Program(load_texts({"test.oal": script}).definitions)
    found: dict[str, dict[str, tuple[int, int]]] = {}
    names = {each.service: each.local.service for each in flows}
    for metric, _, entity, _, summation, count in evaluated(program, given_logs, flows).rows.iter_rows():
        found.setdefault(metric, {})[names.get(entity, entity)] = (summation, count)
    return found


WRITES = {LogKind.WRITE: logs([0, 0, 1, 1], duration=[1, 2, 30, 40], size=[10, 0, 5, 7], syscall=[0, 2, 2, 7])}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("from(K8SService.*).cpm()", {"api": (2, 0), "db": (2, 0)}),
        ("from(K8SService.*).count()", {"api": (2, 0), "db": (2, 0)}),
        ("from(K8SService.write.duration).sum()", {"api": (3, 0), "db": (70, 0)}),
        ("from(K8SService.write.duration).longAvg()", {"api": (3, 2), "db": (70, 2)}),
        ("from(K8SService.write.duration).cpm()", {"api": (2, 0), "db": (2, 0)}),
        ('from(K8SService.*).filter(name == "db").cpm()', {"db": (2, 0)}),
        ('from(K8SService.*).filter(name != "db").cpm()', {"api": (2, 0)}),
        ('from(K8SService.*).filter(name in ["db", "web"]).cpm()', {"db": (2, 0)}),
        ('from(K8SService.*).filter(name like "d%").cpm()', {"db": (2, 0)}),
        ('from(K8SService.*).filter(name like "%b").cpm()', {"db": (2, 0)}),
        ('from(K8SService.*).filter(name like "%p%").cpm()', {"api": (2, 0)}),
        ('from(K8SService.*).filter(name like "db").cpm()', {}),
        ("from(K8SService.*).filter(name == null).cpm()", {}),
        ("from(K8SService.*).filter(name != null).cpm()", {"api": (2, 0), "db": (2, 0)}),
        ("from(K8SService.*).filter(write.duration > 2).cpm()", {"db": (2, 0)}),
        ("from(K8SService.*).filter(write.duration >= 2).cpm()", {"api": (1, 0), "db": (2, 0)}),
        ("from(K8SService.*).filter(write.duration < 2).cpm()", {"api": (1, 0)}),
        ("from(K8SService.*).filter(write.duration <= 2).cpm()", {"api": (2, 0)}),
        ("from(K8SService.*).filter((long)write.duration == 1_0L).cpm()", {}),
        ("from(K8SService.*).filter(write.duration in [1, 40]).cpm()", {"api": (1, 0), "db": (1, 0)}),
        ('from(K8SService.*).filter(write.syscall == "Send").cpm()', {"api": (1, 0), "db": (1, 0)}),
        ('from(K8SService.*).filter(write.syscall like "Send%").cpm()', {"api": (1, 0), "db": (2, 0)}),
        ('from(K8SService.*).filter(write.syscall in ["Write", "SendFile64"]).cpm()', {"api": (1, 0), "db": (1, 0)}),
        ("from(K8SService.*).filter(detectPoint == DetectPoint.CLIENT).cpm()", {"api": (2, 0)}),
        ("from(K8SService.*).filter(detectPoint != DetectPoint.CLIENT).cpm()", {"db": (2, 0)}),
        (
            "from(K8SService.*).filter(detectPoint in [DetectPoint.SERVER, DetectPoint.CLIENT]).cpm()",
            {"api": (2, 0), "db": (2, 0)},
        ),
        ("from(K8SService.*).percent(write.duration > 1)", {"api": (1, 2), "db": (2, 2)}),
        ("from(K8SService.*).filter(write.duration < 40).percent(write.duration > 1)", {"api": (1, 2), "db": (1, 1)}),
        ("from(K8SService.*).percent(detectPoint == DetectPoint.SERVER)", {"api": (0, 2), "db": (2, 2)}),
        ('from(K8SService.write.duration).filter(write.syscall == "Send").sum()', {"api": (2, 0), "db": (30, 0)}),
        ('from(K8SService.write.duration).filter(write.syscall == "Send").longAvg()', {"api": (2, 1), "db": (30, 1)}),
        # What has nothing to add up has no value, which is not 0.
        ("from(K8SService.*).filter(write.duration > 100).cpm()", {}),
        ("from(K8SService.write.duration).filter(write.duration > 100).sum()", {}),
        ("from(K8SService.*).filter(write.duration > 100).percent(write.duration > 1)", {}),
        # A metric of other events is not fed by writes.
        ("from(K8SService.*).filter(connect.success == true).cpm()", {}),
        ("from(K8SService.read.duration).longAvg()", {}),
        ('from(K8SService.write.duration).filter(type == "read").longAvg()', {}),
        ('from(K8SService.write.duration).filter(type != "read").longAvg()', {"api": (3, 2), "db": (70, 2)}),
        ('from(K8SService.*).filter(type == "protocol").cpm()', {}),
        ("from(K8SEndpoint.duration).longAvg()", {}),
    ],
)
def test_one_statement(statement: str, expected: dict[str, tuple[int, int]]) -> None:
    flows = [flow("api", "web"), flow("db", "web", DetectPoint.SERVER)]
    assert run(f"m = {statement};", WRITES, flows) == ({"m": expected} if expected else {})


def test_a_metric_without_a_type_adds_up_all_events() -> None:
    given_logs = {
        LogKind.CONNECT: logs([0, 0], duration=[1, 2], success=[1, 0]),
        LogKind.WRITE: logs([0], duration=[4], size=[1]),
    }
    script = """
        every = from(K8SService.*).cpm();
        some = from(K8SService.*).filter(type in ["connect", "accept"]).cpm();
        rate = from(K8SService.*).percent(name == "api");
    """
    assert run(script, given_logs, [flow("api", "db")]) == {
        "every": {"api": (3, 0)},
        "some": {"api": (2, 0)},
        "rate": {"api": (3, 3)},
    }


def test_a_stage_that_was_not_seen_is_not_a_stage_of_no_time() -> None:
    script = """
        time = from(K8SService.write.l4.duration).longAvg();
        sizes = from(K8SService.write.l4.totalPackageSize).longAvg();
        size = from(K8SService.write.l4.totalPackageSize).sum();
    """
    flows = [flow("api", "db"), flow("web", "db")]
    writes = logs([0, 0, 0, 1], l4_duration=[8, 0, 0, 0], size=[10, 5, 0, 0])
    assert run(script, {LogKind.WRITE: writes}, flows) == {
        "time": {"api": (8, 1)},
        "sizes": {"api": (15, 2)},
        "size": {"api": (15, 0)},
    }


def test_a_duration_counts_only_with_its_count() -> None:
    writes = logs([0, 0], netfilter_count=[2, 0], netfilter_duration=[7, 100])
    found = run("m = from(K8SService.write.l3.netFilterDuration).sum();", {LogKind.WRITE: writes}, [flow("api", "db")])
    assert found == {"m": {"api": (7, 0)}}


def test_columns_that_are_missing_are_zero() -> None:
    writes = EventLogs(np.zeros(3, np.int32), np.full(3, 5, np.int32), {})
    script = "a = from(K8SService.write.duration).sum(); b = from(K8SService.write.l4.totalPackageSize).sum();"
    assert run(script, {LogKind.WRITE: writes}, [flow("api", "db")]) == {"a": {"api": (0, 0)}}


def test_true_and_one_are_different_comparisons() -> None:
    given_logs = {LogKind.CONNECT: logs([0, 0, 0], duration=[1, 1, 5], success=[1, 0, 1])}
    script = """
        a = from(K8SService.*).filter(connect.success == true).cpm();
        b = from(K8SService.*).filter(connect.duration == 1).cpm();
        c = from(K8SService.*).filter(connect.success != true).cpm();
    """
    assert run(script, given_logs, [flow("api", "db")]) == {
        "a": {"api": (2, 0)},
        "b": {"api": (2, 0)},
        "c": {"api": (1, 0)},
    }


def test_relations_know_both_names_and_tls() -> None:
    flows = [flow("api", "db", tls=True), flow("api", "db", DetectPoint.SERVER)]
    given_logs = {LogKind.CONNECT: logs([0, 0, 1], duration=[1, 2, 4])}
    script = """
        out = from(K8SServiceRelation.connect.duration).filter(sourceServiceName == "api").sum();
        into = from(K8SServiceRelation.connect.duration).filter(destServiceName == "api").sum();
        secret = from(K8SServiceInstanceRelation.*).filter(sourceServiceInstanceName == "api-1").cpm();
        tls = from(K8SServiceRelation.*).filter(tlsMode == "TLS").cpm();
        layer = from(K8SServiceRelation.*).filter(sourceLayer == "K8S_SERVICE").filter(destLayer != "MESH").cpm();
    """
    forth, back = flows[0].relation, flows[1].relation
    instances = flows[0].instance_relation
    assert forth
    assert back
    assert instances
    assert run(script, given_logs, flows) == {
        "out": {forth.id: (3, 0)},
        "into": {back.id: (4, 0)},
        "secret": {instances.id: (2, 0)},
        "tls": {forth.id: (2, 0)},
        "layer": {forth.id: (2, 0), back.id: (1, 0)},
    }


def test_no_logs_give_no_points() -> None:
    assert as_points(evaluated(PROGRAM, {}, []).rows) == {}
    assert as_points(evaluated(PROGRAM, {LogKind.WRITE: logs([], duration=[])}, []).rows) == {}


def test_only_needed_columns_are_asked_for() -> None:
    definitions = load_texts({"x": "m = from(K8SService.write.l4.transmitPackageCount).sum();"}).definitions
    assert {kind: set(columns) for kind, columns in Program(definitions).columns.items()} == {
        LogKind.WRITE: {
            "write.l4Metrics.totalDuration",
            "write.l4Metrics.totalTransmitPackageCount",
            "write.l4Metrics.totalRetransmitPackageCount",
            "write.l4Metrics.totalPackageSize",
        }
    }
