"""Access log messages for tests: random ones from the schema, and good ones in short."""

import time
from collections.abc import Iterable
from typing import cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from protos.ebpf.accesslog_pb2 import (
    AccessLogHTTPProtocolRequestMethod,
    AccessLogKernelLog,
    AccessLogProtocolLogs,
    EBPFAccessLogMessage,
)

INTEGERS = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_BOOL: (0, 1),
}


@st.composite
def random_message(draw: st.DrawFn, kind: type[EBPFAccessLogMessage] = EBPFAccessLogMessage) -> EBPFAccessLogMessage:
    message = kind()
    fill(draw, message)
    return message


def fill(draw: st.DrawFn, message: Message) -> None:
    """Set a random choice of fields to random values, enum numbers without a name among them."""
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        if field.is_repeated:
            items = getattr(message, field.name)
            for _ in range(draw(st.integers(0, 3))):
                if field.message_type:
                    fill(draw, items.add())
                else:
                    items.append(draw(st.text(max_size=5)))
        elif field.message_type:
            inner = getattr(message, field.name)
            inner.SetInParent()
            fill(draw, inner)
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, draw(st.text(max_size=8)))
        else:
            low, high = INTEGERS[field.type]
            value = draw(st.one_of(st.integers(low, high), st.sampled_from([low, high, 0, 1])))
            setattr(message, field.name, bool(value) if field.type == FieldDescriptor.TYPE_BOOL else value)


def read_log(start: int = 1_000, end: int = 2_000, size: int = 100) -> AccessLogKernelLog:
    log = AccessLogKernelLog()
    log.read.startTime.offset.offset = start
    log.read.endTime.offset.offset = end
    log.read.l2Metrics.totalPackageSize = size
    return log


def http_log(
    method: str = "Get", path: str = "/", status: int = 200, *, start: int = 1_000, end: int = 2_000
) -> AccessLogProtocolLogs:
    """An exchange; one whose method has no number goes by its name."""
    log = AccessLogProtocolLogs()
    log.http.startTime.offset.offset, log.http.endTime.offset.offset = start, end
    if method in AccessLogHTTPProtocolRequestMethod.keys():  # noqa: SIM118 - it is no dictionary
        number = AccessLogHTTPProtocolRequestMethod.Value(method)
        log.http.request.method = cast("AccessLogHTTPProtocolRequestMethod", number)
    else:
        log.http.request.methodName = method
    log.http.request.path, log.http.response.statusCode = path, status
    return log


def message(
    *logs: AccessLogKernelLog,
    node: str | None = None,
    boot: float | None = None,
    remote: str | None = None,
    local: str = "10.0.0.1",
    protocol: AccessLogProtocolLogs | None = None,
) -> EBPFAccessLogMessage:
    """A message; `node` names one that booted a minute ago or at `boot`, `remote` a connection to that address."""
    made = EBPFAccessLogMessage(kernelLogs=logs, protocolLog=protocol)
    if node is not None:
        made.node.name = node
        seconds = time.time() - 60 if boot is None else boot
        made.node.bootTime.seconds = int(seconds)
        made.node.bootTime.nanos = int(seconds % 1 * 1e9)
    if remote is not None:
        made.connection.local.ip.host = local
        made.connection.remote.ip.host = remote
    return made


def framed(messages: Iterable[EBPFAccessLogMessage | bytes]) -> bytes:
    """A gRPC body."""
    serialised = [item if isinstance(item, bytes) else item.SerializeToString() for item in messages]
    return b"".join(b"\0" + len(item).to_bytes(4, "big") + item for item in serialised)
