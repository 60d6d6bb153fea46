"""What readers of the wire see that do not know our extensions, and that the page on them says all."""

import re
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.interfaces import NodeInterfaces
from agent.events.layout import QUALITY, STAGES, EventFlag, EventKind, Events
from agent.export.assembler import Assembler
from agent.export.heads import encode_connection, encode_node
from protos.common import common_pb2
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import FakeHost, World, address, event, quality

K = EventKind
EXTENSIONS = range(1000, 1100)
PAGE = Path(__file__).parents[3] / "docs" / "wire-extensions.md"


def _is_ours(field: descriptor_pb2.FieldDescriptorProto) -> bool:
    return field.number in EXTENSIONS


def _upstream() -> type[Message]:
    """The access-log message of a schema without our fields and messages."""
    file = descriptor_pb2.FileDescriptorProto()
    wire.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        kept = [field for field in message.field if not _is_ours(field)]
        del message.field[:]
        message.field.extend(kept)
        # A number that may be absent stands in a oneof of its own, behind the named ones.
        named = 1 + max((field.oneof_index for field in kept if field.HasField("oneof_index")), default=-1)
        del message.oneof_decl[named:]
    kept_messages = [message for message in file.message_type if not message.name.startswith("Pyrover")]
    del file.message_type[:]
    file.message_type.extend(kept_messages)
    pool = descriptor_pool.DescriptorPool()
    common = descriptor_pb2.FileDescriptorProto()
    common_pb2.DESCRIPTOR.CopyToProto(common)
    for one in (common, file):
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("skywalking.v3.EBPFAccessLogMessage"))


Upstream = _upstream()


def _without_extensions(message: Message) -> None:
    """Clear our fields, at every depth."""
    for field, value in message.ListFields():
        if field.number in EXTENSIONS:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                _without_extensions(inner)


def _without_unknown(message: Message) -> bytes:
    message.DiscardUnknownFields()
    return message.SerializeToString(deterministic=True)


SMALL = st.integers(0, 2**20)


@st.composite
def _any_event(draw: st.DrawFn) -> Events:
    kind = draw(st.sampled_from([K.CONNECT, K.ACCEPT, K.WRITE, K.READ, K.LATE_WRITE, K.LATE_READ, K.QUALITY]))
    inode = draw(st.integers(1, 2))
    if kind is K.QUALITY:
        return quality(draw(st.dictionaries(SMALL, SMALL, max_size=6)), inode=inode, round_trip_us=draw(SMALL))
    stages: dict[str, Any] = {name: draw(SMALL) for name in STAGES.names or ()}
    result = draw(st.sampled_from([0, -111]))
    return event(kind, inode=inode, result=result, flags=EventFlag.PACKAGES_COUNTED, **stages)


def _export(*parts: Events) -> list[bytes]:
    host, world, collected = FakeHost(), World(), Assembler()
    interfaces = NodeInterfaces(host)
    collected.append(world.track(*parts))
    batches = collected.flush(
        lambda: encode_node("n", "", (), interfaces.listed(), addresses=(address("10.0.0.7"),), boot_time_ns=5),
        lambda view: encode_connection(view, None),
        interfaces,
        str,
    )
    return [message for batch in batches for message in batch.messages]


@given(st.lists(_any_event(), min_size=1, max_size=12))
def test_readers_that_do_not_know_the_extensions_read_everything_else_the_same(parts: list[Events]) -> None:
    for serialised in _export(*parts):
        ours = wire.EBPFAccessLogMessage.FromString(serialised)
        _without_extensions(ours)
        theirs = Upstream.FromString(serialised)
        assert _without_unknown(theirs) == ours.SerializeToString(deterministic=True)


def test_every_field_of_the_metrics_reaches_the_wire() -> None:
    stages: dict[str, Any] = {name: at for at, name in enumerate(STAGES.names or (), start=1)}
    counters = [name for name in QUALITY.names or () if name not in ("drops", "drops_other", "unused")]
    counted = EventFlag.PACKAGES_COUNTED
    serialised = [
        *_export(
            event(K.CONNECT, result=-111, **stages),
            event(K.WRITE, system_call=17, flags=counted, **stages),
            event(K.READ, system_call=4, flags=counted, **stages),
            quality({3: 4}, **dict.fromkeys(counters, 9)),
        ),
        *_export(
            event(K.ACCEPT, **stages),
            event(K.LATE_WRITE, **stages),
            event(K.LATE_READ, **stages),
            quality({3: 4}),
        ),
    ]
    given_paths: set[str] = set()
    for one in serialised:
        _paths(wire.EBPFAccessLogMessage.FromString(one), "", given_paths)
    wanted: set[str] = set()
    for operation in ("connect", "accept", "write", "read"):
        inner: Any = wire.AccessLogKernelLog.DESCRIPTOR.fields_by_name[operation].message_type
        _all_paths(inner, f"{operation}.", wanted)
    quality_fields: Any = wire.PyroverConnectionQuality.DESCRIPTOR
    _all_paths(quality_fields, "quality.", wanted)
    assert wanted - given_paths == {
        "connect.success",  # a connect either succeeded or has an error
        "quality.lateWrite.l4Metrics.lossPackageMetrics.location",  # stand in the quality itself
        "quality.lateWrite.l4Metrics.lossPackageMetrics.count",
    }


def _paths(message: Message, prefix: str, found: set[str]) -> None:
    for field, value in message.ListFields():
        path = "" if field.name == "kernelLogs" else f"{prefix}{field.name}."
        if field.message_type is None:
            found.add(path.rstrip("."))
        else:
            for inner in value if field.is_repeated else [value]:
                _paths(inner, path, found)


def _all_paths(message: Descriptor, prefix: str, found: set[str]) -> None:
    for field in message.fields:
        if field.message_type is None:
            found.add(f"{prefix}{field.name}")
        else:
            _all_paths(field.message_type, f"{prefix}{field.name}.", found)


def test_the_page_names_every_extension_with_its_number() -> None:
    described = set(re.findall(r"^\| `(\w+)\.(\w+)` \| (\d+) \|", PAGE.read_text(), re.MULTILINE))
    declared = {
        (message.name, field.name, str(field.number))
        for message in wire.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.number in EXTENSIONS or message.name.startswith("Pyrover")
    }
    assert described == declared
