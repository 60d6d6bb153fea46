"""Single events as named tuples: for the few events of a batch that are handled one by one."""

import struct
from typing import NamedTuple

import numpy as np

from agent.events.layout import EVENT, Events


class EventRecord(NamedTuple):
    """The fields of EVENT, in its order."""

    start_ns: int
    end_ns: int
    inode: int
    size: int  # the column `bytes`
    process: int
    thread: int
    descriptor: int
    result: int
    network_namespace: int
    local_port: int
    remote_port: int
    kind: int
    system_call: int
    protocol: int
    role: int
    flags: int
    local_address: bytes
    remote_address: bytes
    command: bytes
    stages: bytes


_CODES = {"<u8": "Q", "<u4": "I", "<i4": "i", "<u2": "H", "|u1": "B", ">u8": "Q", ">u4": "I", ">i4": "i", ">u2": "H"}


def _struct_format() -> str:
    """The struct format of EVENT: native byte order, no padding."""
    return "=" + "".join(_code(EVENT[name]) for name in EVENT.names or ())


def _code(field: np.dtype[np.generic]) -> str:
    """Numbers as numbers, arrays and structs as bytes."""
    return f"{field.itemsize}s" if field.subdtype or field.fields else _CODES[field.str]


_RECORD = struct.Struct(_struct_format())


class EventRecords:
    """Reads events of one array by row."""

    def __init__(self, events: Events) -> None:
        self._bytes = np.ascontiguousarray(events).view(np.uint8).data

    def __getitem__(self, row: int) -> EventRecord:
        return EventRecord._make(_RECORD.unpack_from(self._bytes, row * EVENT.itemsize))
