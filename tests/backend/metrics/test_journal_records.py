import dataclasses
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind, Node, Ztunnel
from backend.metrics import journal_records
from backend.metrics.journal_records import HEAD_BYTES, Damaged, Encoder, Head
from tests.backend.metrics.journals import assert_same
from tests.backend.oal.batches import batches

INT64 = np.iinfo(np.int64)
texts = st.text(max_size=20)
nodes = st.builds(
    Node,
    texts,
    texts,
    st.integers(0, 2**63 - 1),
    st.dictionaries(st.integers(0, 2**32 - 1), texts, max_size=3),
    st.frozensets(texts, max_size=3),
    st.lists(texts, max_size=3).map(tuple),
)
addresses = st.builds(Address, texts, texts, texts, texts, st.integers(0, 2**32 - 1))
connections = st.builds(
    Connection,
    nodes,
    addresses,
    addresses,
    st.sampled_from(DetectPoint),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.none() | st.builds(Ztunnel, st.booleans()),
)


def decoded(record: bytes) -> LogBatch | None:
    head = Head.read(memoryview(record))
    return None if head is None else head.body(memoryview(record)[HEAD_BYTES:])


def small(number: int = 7) -> LogBatch:
    node = Node("n", "", 1, {2: "eth0"})
    ends = Address("api", "a", "p", "", 1), Address("", "", "", "10.0.0.1", 2)
    values = np.array([number, -1], np.int64)
    return LogBatch(
        [Connection(node, *ends, DetectPoint.SERVER, tls=True, protocol=1)],
        np.zeros(2, np.int32),
        np.full(2, LogKind.WRITE, np.int8),
        np.full(2, 1000, np.int32),
        values + 1,
        {"a": values, "b": values, "c": values * 70_000},
        ("", "text"),
    )


@settings(deadline=None, max_examples=60)
@given(batches(), st.lists(connections, max_size=4), st.lists(st.integers(INT64.min, INT64.max), max_size=3), texts)
def test_a_batch_comes_back_as_it_was(
    batch: LogBatch, more: list[Connection], extremes: list[int], identifier: str
) -> None:
    column = np.zeros(len(batch), np.int64)
    taken = min(len(column), len(extremes))
    column[:taken] = extremes[:taken]
    batch = dataclasses.replace(
        batch,
        connections=[*batch.connections, *more],
        columns={**batch.columns, "extremes": column},
        identifier=identifier,
    )
    encoder = Encoder()
    for number in (0, 2**32 - 1):
        record = encoder.encode(batch, number)
        head = Head.read(memoryview(record))
        assert head is not None
        assert (head.number, head.length) == (number, len(record) - HEAD_BYTES)
        found = decoded(record)
        assert found is not None
        assert_same(found, batch)


def test_columns_that_are_one_stay_one() -> None:
    found = decoded(Encoder().encode(small(), 0))
    assert found is not None
    assert found.columns["a"] is found.columns["b"]
    assert found.columns["a"] is not found.columns["c"]


def test_an_empty_batch_comes_back() -> None:
    none = np.empty(0, np.int32)
    batch = LogBatch([], none, none.astype(np.int8), none, none.astype(np.int64), {}, ("",))
    found = decoded(Encoder().encode(batch, 0))
    assert found is not None
    assert_same(found, batch)


def test_each_column_takes_the_smallest_type_that_has_room() -> None:
    def size(greatest: int) -> int:
        values = np.zeros(1000, np.int64)
        values[-1] = greatest
        return len(Encoder().encode(dataclasses.replace(small(), columns={"a": values}), 0))

    base = size(127)
    grown = [size(greatest) - base for greatest in (-128, 128, 32_767, 32_768, 2**31 - 1, 2**31, -(2**63))]
    assert grown == [0, 1000, 1000, 3000, 3000, 7000, 7000]


def test_no_byte_can_be_cut_or_changed_unnoticed() -> None:
    record = Encoder().encode(small(), 3)
    for length in range(len(record)):
        if length < HEAD_BYTES:
            assert decoded(record[:length]) is None
        else:
            with pytest.raises(Damaged, match=f"it ends after {length - HEAD_BYTES} of"):
                decoded(record[:length])
    for at in range(len(record)):
        for bit in range(8):
            changed = bytearray(record)
            changed[at] ^= 1 << bit
            if at < HEAD_BYTES:
                assert decoded(bytes(changed)) is None
            else:
                with pytest.raises(Damaged, match="its checksum is another"):
                    decoded(bytes(changed))


def test_what_another_program_wrote_is_damaged_even_if_its_checksum_holds() -> None:
    record = Encoder().encode(small(), 0)
    head = Head.read(memoryview(record))
    assert head is not None
    data = memoryview(record)[HEAD_BYTES:]
    for described in (0, head.described - 1, head.described + 1, head.length):
        with pytest.raises(Damaged, match="it cannot be understood"):
            dataclasses.replace(head, described=described).body(data)


def test_a_record_from_before_batches_had_identifiers_can_be_read() -> None:
    record = Encoder().encode(dataclasses.replace(small(), identifier="one"), 0)
    head = Head.read(memoryview(record))
    assert head is not None
    described = record[HEAD_BYTES : HEAD_BYTES + head.described]
    columns = record[HEAD_BYTES + head.described :]
    *before, identifier = msgspec.msgpack.decode(described, strict=False)
    assert identifier == "one"
    old = msgspec.msgpack.encode(before)
    body = old + columns
    read = Head(0, len(body), len(old), zlib.crc32(body)).body(memoryview(body))
    assert_same(read, small())


def test_what_is_remembered_of_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_records, "_REMEMBERED", 5)
    encoder = Encoder()
    for number in range(12):
        batch = small(number)
        found = decoded(encoder.encode(batch, number))
        assert found is not None
        assert_same(found, batch)
        assert len(encoder._connections) <= 5
