import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.recording import MAXIMUM_MESSAGE, SIGNATURE, RecordingError, read_messages, write_messages, write_signature


def recorded(messages: list[bytes]) -> bytes:
    file = io.BytesIO()
    write_signature(file)
    write_messages(file, messages)
    return file.getvalue()


@given(st.lists(st.binary(max_size=50)))
def test_what_is_written_is_read(messages: list[bytes]) -> None:
    assert list(read_messages(io.BytesIO(recorded(messages)))) == messages


@given(messages=st.lists(st.binary(max_size=20), min_size=1, max_size=5), cut=st.integers(1, 30))
def test_a_recording_that_is_cut_gives_whole_messages_and_an_error_unless_cut_between_them(
    messages: list[bytes], cut: int
) -> None:
    whole = recorded(messages)
    data = whole[: max(len(whole) - cut, len(SIGNATURE))]
    edges = [len(recorded(messages[:count])) for count in range(len(messages) + 1)]
    found: list[bytes] = []
    try:
        found.extend(read_messages(io.BytesIO(data)))
        ended_well = True
    except RecordingError:
        ended_well = False
    assert ended_well == (len(data) in edges)
    assert found == messages[: len(found)]
    assert len(found) == sum(edge <= len(data) for edge in edges) - 1


@pytest.mark.parametrize("data", [b"", b"PYRLOG", b"PYRLOG\x00\x02", bytes(100)])
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(RecordingError, match="not a recording"):
        list(read_messages(io.BytesIO(data)))


def test_a_length_beyond_every_message_is_refused_before_it_is_read() -> None:
    data = SIGNATURE + (MAXIMUM_MESSAGE + 1).to_bytes(4, "little")
    with pytest.raises(RecordingError, match="damaged"):
        list(read_messages(io.BytesIO(data)))
