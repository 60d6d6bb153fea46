import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.entities import ids
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind, Node
from backend.metrics.devices import devices
from protos.ebpf.accesslog_pb2 import AccessLogKernelLog, EBPFAccessLogMessage
from tests.backend.ingest.messages import read_log
from tests.backend.metrics.exchanges import BOOT, SECOND, Analysis, connection, program, sums

NODES = [Node("a", "", 0, {1: "lo", 2: "eth0", 2**32 - 1: "odd"}), Node("b", "", 0, {2: "ens3"}), Node("c", "", 0, {})]
ENDS = Address("api", "", "", "", 1), Address("db", "", "", "", 2)
CONNECTIONS = [Connection(node, *ENDS, DetectPoint.CLIENT, tls=False, protocol=0) for node in (*NODES, NODES[0])]


@pytest.mark.parametrize(("kind", "operation"), [(LogKind.READ, "read"), (LogKind.WRITE, "write")])
@given(
    logs=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 3, 2**32 - 1])), max_size=30),
    chosen=st.data(),
)
def test_a_device_is_named_by_the_node_that_it_is_of(
    kind: LogKind, operation: str, logs: list[tuple[int, int]], chosen: st.DataObject
) -> None:
    size = len(logs)
    table = np.array(logs, np.int64).reshape(-1, 2)
    batch = LogBatch(
        CONNECTIONS,
        table[:, 0].astype(np.int32),
        np.full(size, kind, np.int8),
        np.zeros(size, np.int32),
        np.zeros(size, np.int64),
        {f"{operation}.l2Metrics.ifindex": table[:, 1]},
    )
    rows = np.array(sorted(chosen.draw(st.sets(st.integers(0, size - 1)))) if size else [], np.intp)
    names, numbers = devices(batch, rows, f"{operation}.l2Metrics.deviceName")
    expected = [CONNECTIONS[logs[row][0]].node.interfaces.get(logs[row][1], "") for row in rows.tolist()]
    assert [names[number] for number in numbers.tolist()] == expected


def test_metrics_can_ask_for_a_device() -> None:
    script = """
        eth0 = from(K8SService.read.l2.totalPackageSize).filter(read.l2.netDeviceName == "eth0").sum();
        sent = from(K8SService.*).filter(type == "write").filter(write.l2.networkDeviceName like "eth%").cpm();
    """
    logs = [read_log(60 * SECOND, 60 * SECOND + 1, size) for size in (1, 10, 100)]
    for log, index in zip(logs, (2, 1, 2), strict=True):
        log.read.l2Metrics.ifindex = index
    logs.append(AccessLogKernelLog())
    logs[-1].write.l2Metrics.ifindex = 2
    logs[-1].write.startTime.offset.offset = logs[-1].write.endTime.offset.offset = 60 * SECOND
    message = EBPFAccessLogMessage(kernelLogs=logs, connection=connection("client"))
    message.node.bootTime.seconds = BOOT
    for index, name in ((1, "lo"), (2, "eth0")):
        message.node.netInterfaces.add(index=index, name=name)
    api = ids.service_id("api")
    assert sums(Analysis(program(script)).take([message])) == {("eth0", api): (101, 0), ("sent", api): (1, 0)}
