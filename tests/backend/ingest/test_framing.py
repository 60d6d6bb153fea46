import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest import framing
from backend.ingest.framing import Framer
from backend.ingest.status import CallError, Status


def frame(message: bytes, *, compressed: bool = False) -> bytes:
    body = gzip.compress(message) if compressed else message
    return bytes([compressed]) + len(body).to_bytes(4, "big") + body


def taken(framer: Framer) -> list[bytes]:
    return [frames.message(index) for frames in framer.take() for index in range(len(frames))]


def chunks(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]


@given(
    messages=st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=12),
    cuts=st.lists(st.integers(0, 600), max_size=20),
    eager=st.booleans(),
)
def test_any_chunking_gives_the_same_messages(
    messages: list[tuple[bytes, bool]], cuts: list[int], *, eager: bool
) -> None:
    framer = Framer("gzip")
    found = []
    for chunk in chunks(b"".join(frame(message, compressed=compressed) for message, compressed in messages), cuts):
        framer.add(chunk)
        if eager:
            found += taken(framer)
    found += taken(framer)
    framer.finish()
    assert found == [message for message, _ in messages]
    assert framer.held == 0


@given(body=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_random_bytes_end_in_messages_or_in_a_call_error_and_in_the_same_for_any_chunking(
    body: bytes, cuts: list[int]
) -> None:
    def outcome(parts: list[bytes]) -> tuple[list[bytes], Status | None]:
        framer, found = Framer("gzip", 1_000), []
        try:
            for part in parts:
                framer.add(part)
                for frames in framer.take():
                    found += [frames.message(index) for index in range(len(frames))]
            framer.finish()
        except CallError as error:
            return found, error.status
        return found, None

    assert outcome(chunks(body, cuts)) == outcome([body])


def test_many_messages_come_in_groups_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "GROUP_MESSAGES", 100)
    framer = Framer()
    framer.add(frame(b"x") * 1_050)
    assert [len(frames) for frames in framer.take()] == [100] * 10 + [50]


def test_a_message_in_many_chunks_is_joined_once_it_is_whole() -> None:
    framer = Framer()
    body = frame(bytes(1_000_000))
    for start in range(0, len(body), 1_000):
        assert taken(framer) == []
        framer.add(body[start : start + 1_000])
    assert framer.needed == len(body)
    assert taken(framer) == [bytes(1_000_000)]


@pytest.mark.parametrize("encoding", ["deflate", "snappy", "", "GZIP"])
def test_an_unknown_encoding_is_unimplemented(encoding: str) -> None:
    with pytest.raises(CallError) as caught:
        Framer(encoding)
    assert caught.value.status is Status.UNIMPLEMENTED
    assert "identity, gzip" in caught.value.message


def test_a_compressed_message_in_a_call_without_encoding_is_internal() -> None:
    framer = Framer()
    framer.add(frame(b"x", compressed=True))
    with pytest.raises(CallError) as caught:
        taken(framer)
    assert caught.value.status is Status.INTERNAL


@pytest.mark.parametrize("flag", [2, 255])
def test_a_flag_that_is_neither_0_nor_1_is_internal_after_the_messages_before_it(flag: int) -> None:
    framer = Framer()
    framer.add(frame(b"before") + bytes([flag]) + bytes(4))
    groups = framer.take()
    assert next(groups).message(0) == b"before"
    with pytest.raises(CallError) as caught:
        next(groups)
    assert caught.value.status is Status.INTERNAL


def test_a_message_over_the_limit_is_refused_from_its_length_alone() -> None:
    framer = Framer(message_limit=10)
    framer.add(frame(bytes(10)) + b"\0" + (11).to_bytes(4, "big"))
    groups = framer.take()
    assert next(groups).message(0) == bytes(10)
    with pytest.raises(CallError) as caught:
        next(groups)
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert "11 bytes" in caught.value.message


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_body_that_ends_within_a_message_is_internal(cut: int) -> None:
    framer = Framer()
    framer.add(frame(b"whole") + frame(b"cut")[:-cut])
    assert taken(framer) == [b"whole"]
    if cut == 8:
        framer.finish()
        return
    with pytest.raises(CallError) as caught:
        framer.finish()
    assert caught.value.status is Status.INTERNAL


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    framer = Framer("gzip", message_limit=1_000_000)
    framer.add(b"\1" + len(bomb).to_bytes(4, "big") + bomb)
    with pytest.raises(CallError) as caught:
        taken(framer)
    assert caught.value.status is Status.RESOURCE_EXHAUSTED


def test_many_messages_that_unfold_are_given_a_few_at_a_time() -> None:
    message = bytes(1_000_000)
    framer = Framer("gzip")
    framer.add(frame(message, compressed=True) * 20)
    sizes = [int(frames.lengths.sum()) for frames in framer.take()]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= framing.GROUP_BYTES + len(message)


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip",
        gzip.compress(b"cut short")[:-4],
        gzip.compress(b"whole") + b"rest",
        gzip.compress(b"one") + gzip.compress(b"two"),
        zlib.compress(b"zlib"),
        b"",
    ],
)
def test_a_message_that_does_not_decompress_is_internal(body: bytes) -> None:
    framer = Framer("gzip")
    framer.add(b"\1" + len(body).to_bytes(4, "big") + body)
    with pytest.raises(CallError) as caught:
        taken(framer)
    assert caught.value.status is Status.INTERNAL


def test_what_is_dropped_is_forgotten() -> None:
    framer = Framer()
    framer.add(frame(b"whole")[:-1])
    framer.drop()
    framer.add(frame(b"next"))
    assert taken(framer) == [b"next"]
