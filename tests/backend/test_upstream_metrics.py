"""Defects of Apache SkyWalking's metrics that this backend does not have, with the numbers of docs/compatibility.md."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import polars as pl

from backend.entities import ids
from backend.entities.resolution import Resolver
from backend.ingest.batch import LogKind
from backend.metrics.analysis import Analysed, analyse
from backend.oal.compiler import Program
from backend.oal.labels import LabelLoss, Labels
from backend.oal.loader import STANDARD, load_texts
from backend.storage.memory import MemoryStorage
from protos.ebpf.accesslog_pb2 import AccessLogKernelLog, AccessLogProtocolLogs, EBPFAccessLogMessage
from tests.backend.metrics.exchanges import BOOT, NOW, SECOND, batch_of, connection, exchange, messages

MINUTE = (BOOT + 60) // 60
API = ids.service_id("api")
CALL = f"{ids.service_id('web')}-{API}"


def operation(kind: str, took: int = 1_000) -> AccessLogKernelLog:
    """A connect, an accept or a close."""
    log = AccessLogKernelLog()
    of = getattr(log, kind)
    of.startTime.offset.offset = 60 * SECOND
    of.endTime.offset.offset = 60 * SECOND + took
    return log


def operations(role: str, local: str, remote: str, *logs: AccessLogKernelLog) -> list[EBPFAccessLogMessage]:
    message = EBPFAccessLogMessage(kernelLogs=logs, connection=connection(role, local, remote))
    message.node.bootTime.seconds = BOOT
    return [message]


def analysed(given: Sequence[EBPFAccessLogMessage], program: Program, writer: str) -> Analysed:
    return analyse([batch_of(given)], Resolver(), program, writer)


def stored(storage: MemoryStorage, *metrics: str) -> dict[tuple[str, str, str], int]:
    """Sums by metric, label and entity."""
    rows = storage.metrics(metrics, [], MINUTE, NOW // 60)
    sums = rows.group_by("metric", "label", "entity").agg(pl.col("summation").sum())
    return {(metric, label, entity): summation for metric, label, entity, summation in sums.iter_rows()}


def test_d2_what_each_end_of_a_connection_reports_can_be_told_apart() -> None:
    program = Program(load_texts({path.name: path.read_text() for path in STANDARD.glob("*.oal")}).definitions)
    storage = MemoryStorage()
    client = operations("client", "web", "api", operation("connect", 7), operation("close", 30))
    server = operations("server", "api", "web", operation("accept", 11), operation("close", 500))
    for writer, given in (("client", client), ("server", server)):
        storage.write(analysed(given, program, writer).flush)
    prefix = "kubernetes_service_relation_"
    expected = {
        # Only one end connects, and only one accepts.
        "connect_cpm": 1,
        "connect_duration": 7,
        "accept_cpm": 1,
        "accept_duration": 11,
        "client_close_cpm": 1,
        "client_close_duration": 30,
        "server_close_cpm": 1,
        "server_close_duration": 500,
        # By SkyWalking's names, with SkyWalking's values.
        "close_cpm": 2,
        "close_duration": 530,
    }
    names = [f"{prefix}{name}" for name in expected]
    assert stored(storage, *names) == {(f"{prefix}{name}", "", CALL): value for name, value in expected.items()}


def by_method(method: int) -> AccessLogProtocolLogs:
    log = exchange()
    log.http.request.method = method  # type: ignore[assignment] # its number on the wire
    return log


def test_d14_as_many_labels_as_the_script_allows_whatever_is_stored_and_replaced_between() -> None:
    labels, storage = Labels(), MemoryStorage()
    for number, methods in enumerate([(0, 0, 1), (2, 2, 2, 1), (3, 0)]):
        metrics = load_texts({"test": "methods = from(K8SService.*).labelCount(protocol.http.method, 2);"})
        program = Program(metrics.definitions, labels=labels)
        given = messages(connection(), *map(by_method, methods))
        storage.write(analysed(given, program, str(number)).flush)
    assert stored(storage, "methods") == {("methods", "Get", API): 3, ("methods", "Post", API): 2}
    assert labels.refused == {LabelLoss.MAXIMUM: 2}


def test_d18_a_log_costs_no_more_when_more_metrics_are_made_of_it() -> None:
    text = (STANDARD / "ebpf.oal").read_text()
    one = Program(load_texts({"a": text}).definitions)
    again = text.replace("\nkubernetes_", "\nagain_kubernetes_")
    both = Program(load_texts({"a": text, "b": again}).definitions)
    assert len(both.definitions) == 2 * len(one.definitions) == 592
    assert both.columns == one.columns
    # What is added up of logs, and of what they were added up to, is what one of the two needs.
    assert both.stages == one.stages
    per_log = {place for place in one.stages if place.startswith("per flow")}
    assert per_log == {f"per flow, {kind.name}" for kind in LogKind}


def test_d21_one_metric_is_computed_by_several_threads_and_backends_at_once() -> None:
    texts = {"test": 'size = from(K8SService.read.l2.totalPackageSize).filter(type == "read").sum();'}
    sizes = [[1, 10, 100], [1_000, 10_000], [100_000]]
    together = Barrier(len(sizes), timeout=120)
    storage = MemoryStorage()

    def part(number: int) -> Analysed:
        message = EBPFAccessLogMessage(connection=connection("client"))
        message.node.bootTime.seconds = BOOT
        for size in sizes[number]:
            log = message.kernelLogs.add()
            log.read.startTime.offset.offset = 60 * SECOND
            log.read.endTime.offset.offset = 60 * SECOND + 1
            log.read.l2Metrics.totalPackageSize = size
        program = Program(load_texts(texts).definitions)
        together.wait()
        return analysed([message], program, str(number))

    with ThreadPoolExecutor(len(sizes)) as threads:
        for found in threads.map(part, range(len(sizes))):
            storage.write(found.flush)
    assert stored(storage, "size") == {("size", "", API): 111_111}
