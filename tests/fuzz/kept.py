"""Targets: files that the programs write and read again, with checksums that fit, so that more than these is read.

Disks and other programs damage such files; a checksum that fits a content that nobody wrote is rarer, and no excuse.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.events import recording as events
from agent.events.fragments import FRAGMENT, FragmentError, pack_fragments, read_fragment, unpack_fragments
from agent.events.layout import EVENT
from agent.events.recorded_layout import event_layout
from agent.export.accounting import Balance
from agent.export.assembler import Batch
from agent.export.ledger_file import SLOT_BYTES, LedgerFile
from agent.export.spool import MARK as BATCH
from agent.export.spool import Spool, Spooled
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind, Node
from backend.metrics.journal_records import HEAD_BYTES, Encoder
from backend.metrics.journal_records import MARK as RECORD
from backend.metrics.journal_segments import BEGINNING_BYTES, JournalError, beginning, read_segment
from backend.replay import recordings
from protos import recording as logs
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from tests.fuzz.registry import Target, file

_NUMBER = struct.Struct("<I")


def _checksum(data: bytes | bytearray) -> bytes:
    return _NUMBER.pack(zlib.crc32(data))


def _frames_sealed(data: bytes) -> bytes:
    """A recording of events whose frames have the checksums of what is in them."""
    sealed = bytearray(data)
    head = events._FRAME.size
    at = len(events.SIGNATURE)
    while at + head <= len(sealed):
        _, length, _ = events._FRAME.unpack_from(sealed, at)
        sealed[at + head - 4 : at + head] = _checksum(sealed[at + head : at + head + length])
        at += head + length
    return bytes(sealed)


def _events(data: bytes) -> None:
    for moment in events.RecordingReader(io.BytesIO(_frames_sealed(data))).moments():
        assert moment.events.dtype == EVENT
        assert len(moment.events) <= events.STEP_EVENTS


def _recorded_events() -> bytes:
    kept = io.BytesIO()
    writer = events.RecordingWriter(kept, events.Header("node", 7, event_layout()))
    writer.begin(1, [])
    writer.step(2, np.zeros(3, EVENT), [], {"ring_full": 1}, list(unpack_fragments(_fragments_seed())))
    writer.end(3, [])
    return kept.getvalue()


def _fragments(data: bytes) -> None:
    """As a ring has them, whose records are as long as they say, and as a recording has them."""
    read_fragment(memoryview(data), 0, len(data))
    assert pack_fragments(unpack_fragments(data)) == data


def _fragments_seed() -> bytes:
    head = np.zeros(1, FRAGMENT)
    head["length"], head["call_bytes"], head["end_ns"] = 5, 5, 9
    return head.tobytes() + b"GET /"


def _logs(path: Path) -> None:
    """Told when its last log was, and sent as streams of another time."""
    newest = recordings.newest(path)
    for stream in recordings.streams(path):
        shifted = recordings.shifted(stream, 0 if newest is None else 2_000_000_000_000_000_000 - newest)
        assert len(shifted) == len(stream)


def _recorded_logs() -> bytes:
    message = EBPFAccessLogMessage()
    message.node.name = "node"
    message.node.bootTime.seconds = 1_700_000_000
    message.connection.remote.ip.host = "10.0.0.1"
    log = message.kernelLogs.add().read
    log.startTime.offset.offset, log.endTime.offset.offset = 10, 20
    later = EBPFAccessLogMessage(kernelLogs=message.kernelLogs)
    kept = io.BytesIO()
    logs.write_signature(kept)
    logs.write_messages(kept, [message.SerializeToString(), later.SerializeToString(), message.SerializeToString()])
    return kept.getvalue()


def _spool(path: Path) -> None:
    """A folder with one batch, of which a part can be read or none."""
    data = path.read_bytes()
    folder = path.parent / "spool"
    folder.mkdir()
    content = BATCH + _checksum(data) + data
    spooled = Spooled(1, "00000000-0000-4000-8000-000000000000", 2, len(content))
    (folder / spooled.name).write_bytes(content)
    spool = Spool(folder)
    try:
        assert spool.left == [spooled]
        batch = spool.load(spooled)
        assert batch is None or isinstance(batch, Batch)
    finally:
        spool.close()


def _ledger(path: Path) -> None:
    """Its two slots, each with the checksum of what it says that it has."""
    data = path.read_bytes().ljust(2 * SLOT_BYTES, b"\0")[: 2 * SLOT_BYTES]
    slots = []
    for at in (0, SLOT_BYTES):
        length, told = data[at + 4 : at + 8], data[at + 8 : at + SLOT_BYTES]
        slots.append(_checksum(told[: int.from_bytes(length, "little")]) + length + told)
    path.write_bytes(b"".join(slots))
    ledger = LedgerFile(path)
    try:
        before = ledger.before
        ledger.write(Balance(1, 1, {}), [])
        assert ledger.failures == 0
    finally:
        ledger.close()
    again = LedgerFile(path)
    again.close()
    assert again.before == Balance(1, 1, {}), before


def _ledger_seed(folder: Path) -> bytes:
    path = folder / "ledger"
    ledger = LedgerFile(path)
    ledger.write(Balance(10, 4, {"refused": 3}, 1), [7, 8])
    ledger.write(Balance(11, 4, {"refused": 3}, 1), [9])
    ledger.close()
    return path.read_bytes()


def _records_sealed(data: bytes) -> bytes:
    """A segment whose records, where there are whole heads, have the checksums of what is in them."""
    sealed = bytearray(beginning() + data)
    for at in _heads(bytes(sealed)):
        (length,) = _NUMBER.unpack_from(sealed, at + 4)
        sealed[at + 8 : at + 12] = _checksum(sealed[at + HEAD_BYTES : at + HEAD_BYTES + length])
        sealed[at + HEAD_BYTES - 4 : at + HEAD_BYTES] = _checksum(sealed[at : at + HEAD_BYTES - 4])
    return bytes(sealed)


def _heads(data: bytes) -> Iterator[int]:
    at = BEGINNING_BYTES
    while (at := data.find(RECORD, at)) >= 0 and at + HEAD_BYTES <= len(data):
        yield at
        at += HEAD_BYTES


def _segment(path: Path) -> None:
    """A segment of the journal: batches and damage, each place once."""
    path.write_bytes(_records_sealed(path.read_bytes()))
    for found in read_segment(path):
        if isinstance(found, tuple):
            batch = found[1]
            lengths = {len(batch), *(len(column) for column in batch.columns.values())}
            assert len(lengths) == 1


def _segment_seed() -> bytes:
    encoder = Encoder()
    ends = Address("api", "a", "p", "", 1), Address("", "", "", "10.0.0.1", 2)
    connection = Connection(Node("n", "", 1, {2: "eth0"}), *ends, DetectPoint.SERVER, tls=True, protocol=1)
    values = np.array([1, -1], np.int64)
    batch = LogBatch(
        [connection],
        np.zeros(2, np.int32),
        np.full(2, LogKind.WRITE, np.int8),
        np.full(2, 1_000, np.int32),
        values + 1,
        {"a": values, "b": values * 70_000},
        ("", "text"),
    )
    return b"".join(encoder.encode(batch, number) for number in range(2))


def _seed_of_ledger() -> bytes:
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - only for this seed

    with TemporaryDirectory(prefix="pyrover-fuzz-") as folder:
        return _ledger_seed(Path(folder))


_LENGTHS = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00")
_PACKED = (b"\xdf\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\0" * 7, b"\xc0", b"\xa1a", b"\x90", b"\x80")
"""Of MessagePack: a map of 4 billion, the largest and the least number, nothing, a text, an empty list and map."""

TARGETS = (
    Target(
        "event-recording", _events, (events.RecordingError,), (_recorded_events(),), (*_LENGTHS, b"null", b"[", b"{")
    ),
    Target("payload-fragments", _fragments, (FragmentError,), (_fragments_seed() * 3,), _LENGTHS),
    Target("log-recording", file(_logs, "input.pyrover"), (logs.RecordingError,), (_recorded_logs(),), _LENGTHS),
    Target("spool", file(_spool, "input"), (), (b"\x03\0\0\0abc\x01\0\0\0d",), _LENGTHS),
    Target("ledger", file(_ledger, "ledger"), (), (_seed_of_ledger(),), _PACKED),
    Target(
        "journal",
        file(_segment, "1-writer.segment"),
        (JournalError,),
        (_segment_seed(),),
        (*_LENGTHS, *_PACKED, RECORD),
    ),
)
