import pytest
from hyperframe.frame import DataFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from common.grpc.frames import LARGEST, FrameSplitter, NotHttp2

SETTINGS = SettingsFrame(0).serialize()


@given(st.lists(st.binary(max_size=60)), st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_found_wherever_the_bytes_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    frames = [SETTINGS, *(DataFrame(1, payload).serialize() for payload in payloads)]
    stream, splitter = b"".join(frames), FrameSplitter()
    found: list[bytes] = []
    turn = 0
    while stream:
        size = cuts[turn % len(cuts)]
        turn += 1
        found += splitter.split(stream[:size])
        stream = stream[size:]
    assert found == frames


def test_what_came_before_a_frame_that_is_too_long_is_told() -> None:
    largest, longer = (DataFrame(1, bytes(size)).serialize() for size in (LARGEST, LARGEST + 1))
    frames = FrameSplitter().split(SETTINGS + largest + longer)
    assert next(frames) == SETTINGS
    assert next(frames) == largest
    with pytest.raises(NotHttp2, match="a frame of 16385 bytes, where 16384 are allowed"):
        next(frames)


def test_a_frame_that_will_be_too_long_is_not_waited_for() -> None:
    splitter = FrameSplitter()
    assert list(splitter.split(SETTINGS)) == [SETTINGS]
    with pytest.raises(NotHttp2):
        list(splitter.split(b"\xff" * 9))


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"HTTP/1.0", b"HTTP/"])
def test_http_1_is_named(said: bytes) -> None:
    with pytest.raises(NotHttp2, match="it answers in HTTP/1 instead of HTTP/2"):
        list(FrameSplitter().split(said))


@pytest.mark.parametrize(
    "said", [DataFrame(1).serialize(), SettingsFrame(0, flags=["ACK"]).serialize(), b"garbage :-)"]
)
def test_settings_come_first(said: bytes) -> None:
    with pytest.raises(NotHttp2, match="it does not speak HTTP/2; it begins with b'"):
        list(FrameSplitter().split(said))
