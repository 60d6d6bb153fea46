from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.server.grpc import _timeout
from common.grpc.messages import LARGE, encode_timeout, frame_messages


def plain(messages: list[bytes]) -> bytes:
    return b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 200))
def test_a_body_is_every_message_behind_its_length(messages: list[bytes], chunk: int) -> None:
    pieces = list(frame_messages(messages, chunk))
    assert b"".join(pieces) == plain(messages)
    assert all(len(piece) >= chunk for piece in pieces[:-1])
    assert all(len(piece) < chunk + 5 + 50 for piece in pieces)


def test_a_large_message_is_not_copied() -> None:
    messages = [b"small", bytes(LARGE), b"another", bytes(LARGE + 1)]
    pieces = list(frame_messages(messages))
    assert b"".join(pieces) == plain(messages)
    assert next(piece for piece in pieces if len(piece) >= LARGE) is messages[1]
    assert pieces[-1] is messages[3]


def test_messages_are_asked_for_one_after_the_other() -> None:
    asked = []

    def messages() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"x"

    pieces = frame_messages(messages(), 1)
    next(pieces)
    assert asked == [0]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0m"), (0.0001, "1m"), (1.5, "1500m"), (20.0, "20000m"), (99_999.999, "99999999m"), (100_000.0, "100000S")],
)
def test_timeouts(seconds: float, expected: str) -> None:
    assert encode_timeout(seconds) == expected


@given(st.floats(0, 1e15))
def test_the_receiver_understands_every_timeout(seconds: float) -> None:
    understood = _timeout(encode_timeout(seconds))
    assert understood is not None
    if seconds <= 99_999_999 * 3600:
        assert seconds <= understood * (1 + 1e-12)
        assert understood - seconds <= max(0.001 * (1 + 1e-9), seconds * 0.001)
