import random

import pytest
from hpack import Decoder, Encoder, HPACKDecodingError, NeverIndexedHeaderTuple
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as decode_by_halves
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocols import huffman
from agent.protocols.header_blocks import MAXIMUM_TABLE, NEEDED, HeaderBlocks
from agent.protocols.huffman import decode_huffman

HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
NAMES = (":method", ":path", ":authority", ":status", "host", "b3", "accept", "x-other", "cookie", "user-agent")
FIELD = st.tuples(
    st.sampled_from(NAMES),
    st.one_of(
        st.sampled_from(["GET", "POST", "/", "200", "v" * 60]), st.text(st.characters(max_codepoint=255), max_size=40)
    ),
)
# A block: its fields, each with whether it may be put into the table; with Huffman; a size of the table before it.
BLOCK = st.tuples(
    st.lists(st.tuples(FIELD, st.booleans()), max_size=12),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([0, 33, 100, 300, 4_096, 20_000])),
)


def encoded(encoder: Encoder, block: tuple[list[tuple[tuple[str, str], bool]], bool, int | None]) -> bytes:
    fields, with_huffman, size = block
    if size is not None:
        encoder.header_table_size = size
    raw = [(name.encode(), value.encode("latin-1")) for (name, value), _ in fields]
    sent = [
        item if is_indexed else NeverIndexedHeaderTuple(*item)
        for item, (_, is_indexed) in zip(raw, fields, strict=True)
    ]
    return encoder.encode(sent, huffman=with_huffman)


def needed(decoder: Decoder, block: bytes) -> dict[str, str]:
    """What hpack makes of a block."""
    fields = ((name.decode(), value.decode("latin-1")) for name, value in decoder.decode(block, raw=True))
    return {name: value for name, value in fields if name in NEEDED}


@settings(max_examples=100)
@given(st.lists(BLOCK, max_size=10))
def test_blocks_say_what_hpack_says(blocks: list[tuple[list[tuple[tuple[str, str], bool]], bool, int | None]]) -> None:
    encoder, second, ours = Encoder(), Decoder(), HeaderBlocks(is_complete=True)
    second.max_allowed_table_size = MAXIMUM_TABLE
    for block in blocks:
        sent = encoded(encoder, block)
        before = list(second.header_table.dynamic_entries)
        expected = needed(second, sent)
        again = before == list(second.header_table.dynamic_entries)  # the second time it comes from the cache
        for _ in range(2 if again else 1):
            decoded = ours.decode(sent)
            assert decoded is not None
            assert (decoded.fields, decoded.has_unknown) == (expected, False)


@settings(max_examples=100)
@given(st.lists(BLOCK, max_size=8), st.lists(BLOCK, min_size=1, max_size=8))
def test_after_a_join_fields_are_right_or_unknown(
    before: list[tuple[list[tuple[tuple[str, str], bool]], bool, int | None]],
    after: list[tuple[list[tuple[tuple[str, str], bool]], bool, int | None]],
) -> None:
    encoder, second, ours = Encoder(), Decoder(), HeaderBlocks(is_complete=False)
    second.max_allowed_table_size = MAXIMUM_TABLE
    for block in before:
        second.decode(encoded(encoder, block), raw=True)
    for block in after:
        sent = encoded(encoder, block)
        decoded = ours.decode(sent)
        assert decoded is not None
        true = [(name.decode(), value.decode("latin-1")) for name, value in second.decode(sent, raw=True)]
        assert set(decoded.fields.items()) <= set(true)
        if not decoded.has_unknown:
            assert decoded.fields == {name: value for name, value in true if name in NEEDED}


def test_an_entry_is_known_from_when_it_was_added() -> None:
    encoder, ours = Encoder(), HeaderBlocks(is_complete=False)
    encoder.encode([(":path", "/before"), (":method", "PATCH")])
    first = ours.decode(encoder.encode([(":path", "/before"), (":path", "/after"), ("x", "y")]))
    second = ours.decode(encoder.encode([(":path", "/after")]))
    third = ours.decode(encoder.encode([(":method", "PATCH")]))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (dict(first.fields), first.has_unknown) == ({":path": "/after"}, True)
    assert (dict(second.fields), second.has_unknown) == ({":path": "/after"}, False)
    assert (dict(third.fields), third.has_unknown) == ({}, True)


def test_an_entry_with_an_unknown_name_keeps_its_place() -> None:
    encoder, ours = Encoder(), HeaderBlocks(is_complete=False)
    encoder.encode([("x-unknown", "1")])
    for fields in ([("x-unknown", "2")], [("host", "a")], [("x-unknown", "2"), ("host", "a")]):
        decoded = ours.decode(encoder.encode(fields))
        assert decoded is not None
        assert dict(decoded.fields) == {name: value for name, value in fields if name == "host"}
        assert decoded.has_unknown == (fields[0][0] == "x-unknown")


def test_forgetting_makes_entries_unknown() -> None:
    encoder, ours = Encoder(), HeaderBlocks(is_complete=True)
    sent = [encoder.encode([("host", "a")]) for _ in range(2)]
    ours.decode(sent[0])
    assert ours.decode(sent[1]) is not None
    assert ours.table_size > 0
    ours.forget()
    decoded = ours.decode(sent[1])
    assert decoded is not None
    assert (dict(decoded.fields), decoded.has_unknown, ours.table_size) == ({}, True, 0)


def test_the_table_grows_with_what_the_other_end_allows() -> None:
    for size, kept in ((4_096, 29 * 136 + 41), (20_000, 60 * 136 + 41)):
        encoder, ours = Encoder(), HeaderBlocks(is_complete=True)
        ours.allow(size)
        encoder.header_table_size = size
        ours.decode(encoder.encode([("host", "first")]))
        for number in range(60):
            ours.decode(encoder.encode([("host", f"{number:0100}")], huffman=False))
        decoded = ours.decode(encoder.encode([("host", "first")]))
        assert decoded is not None
        assert dict(decoded.fields) == {"host": "first"}
        assert ours.table_size == kept


def test_a_table_that_the_encoder_empties_is_empty() -> None:
    encoder, ours = Encoder(), HeaderBlocks(is_complete=True)
    ours.decode(encoder.encode([("host", "a")]))
    encoder.header_table_size = 0
    ours.decode(encoder.encode([]))
    assert ours.table_size == 0
    encoder.header_table_size = 4_096
    decoded = ours.decode(encoder.encode([("host", "a")]))
    assert decoded is not None
    assert dict(decoded.fields) == {"host": "a"}


def test_what_is_kept_is_bounded_whatever_is_sent() -> None:
    source = random.Random(5)
    ours = HeaderBlocks(is_complete=False)
    ours.allow((1 << 32) - 1)
    for _ in range(3_000):
        value = source.randbytes(source.choice([0, 1, 100, 126]))
        ours.decode(b"\x3f\xff\xff\xff\x0f" + b"\x40\x01a" + bytes([len(value)]) + value)
        assert ours.table_size <= MAXIMUM_TABLE
    assert len(ours._entries) <= MAXIMUM_TABLE // 32
    for number in range(200):
        ours.decode(b"\x00\x04host" + bytes([3]) + f"{number:03}".encode())
    assert len(ours._cache) <= 32


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff",  # an integer without an end
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # one of too many bytes
        b"\x40\x05abc",  # a name beyond the block
        b"\x40\x01a\x05abc",  # a value beyond it that is not needed
        b"\x41\x05abc",  # and one that is
        b"\x41",
        b"\x40",
        b"\x40\x01a",
        b"\x41\x81\x00",  # Huffman code that ends in the middle of a character
        b"\x41\x84\xff\xff\xff\xff",  # its end-of-string symbol
        b"\x3f",
    ],
)
def test_a_malformed_block_costs_the_table(block: bytes) -> None:
    encoder, ours = Encoder(), HeaderBlocks(is_complete=True)
    ours.decode(encoder.encode([("host", "a")]))
    assert ours.decode(block) is None
    assert ours.table_size == 0


@given(st.binary(max_size=300))
def test_no_block_raises(block: bytes) -> None:
    HeaderBlocks(is_complete=False).decode(block)


@given(st.binary(max_size=200))
def test_huffman_code_is_read_back(text: bytes) -> None:
    assert decode_huffman(HUFFMAN.encode(text)) == text.decode("latin-1")


@settings(max_examples=400)
@given(st.binary(max_size=40))
def test_huffman_code_says_what_hpack_says(encoded_text: bytes) -> None:
    try:
        expected = decode_by_halves(encoded_text).decode("latin-1")
    except HPACKDecodingError:
        with pytest.raises(HPACKDecodingError):
            decode_huffman(encoded_text)
        return
    assert decode_huffman(encoded_text) == expected


def test_strings_that_are_remembered_are_short_and_few() -> None:
    long = HUFFMAN.encode(b"0" * 400)
    before = huffman._decode_cached.cache_info().currsize
    assert decode_huffman(long) == "0" * 400
    information = huffman._decode_cached.cache_info()
    assert information.currsize == before
    assert information.maxsize == 2_048
