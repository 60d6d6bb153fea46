"""Files of recorded access logs.

An 8-byte signature, then messages: a 4-byte little-endian length, then that many bytes of a serialised
EBPFAccessLogMessage. A message that carries `node` begins a new stream.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

SIGNATURE = b"PYRLOG\x00\x01"
MAXIMUM_MESSAGE = 50 * 1024 * 1024  # bytes; what a backend accepts by default
_LENGTH = struct.Struct("<I")


class RecordingError(Exception):
    """The file is not a recording, or it ends in the middle of a message."""


def write_signature(file: BinaryIO) -> None:
    """Begin a recording."""
    file.write(SIGNATURE)


def write_messages(file: BinaryIO, messages: Iterable[bytes]) -> None:
    """Append serialised messages."""
    for message in messages:
        file.write(_LENGTH.pack(len(message)))
        file.write(message)


def read_messages(file: BinaryIO) -> Iterator[bytes]:
    """Serialised messages, in order. Raises RecordingError where the file is not whole."""
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise RecordingError(
            "not a recording of access logs: make one with 'pyrover-agent replay EVENTS --output FILE'"
        )
    while head := file.read(_LENGTH.size):
        if len(head) < _LENGTH.size:
            raise RecordingError("the recording ends in the middle of a length: it was cut short")
        (length,) = _LENGTH.unpack(head)
        if length > MAXIMUM_MESSAGE:
            raise RecordingError(
                f"a message of {length} bytes is longer than {MAXIMUM_MESSAGE}: the recording is damaged"
            )
        message = file.read(length)
        if len(message) < length:
            raise RecordingError("the recording ends in the middle of a message: it was cut short")
        yield message
