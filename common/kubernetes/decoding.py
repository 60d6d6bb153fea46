"""What lists and watches consist of, decoded; whatever cannot be raises UnreadableError."""

import msgspec

from common.kubernetes import wire
from common.kubernetes.answers import UNDECODABLE, UnreadableError

_decode_page = msgspec.json.Decoder(wire.Page).decode
_decode_event = msgspec.json.Decoder(wire.Event).decode
_decode_version = msgspec.json.Decoder(wire.Bookmark).decode


def decode_page(body: bytes) -> wire.Page:
    """A page of a list, which has a version."""
    try:
        page = _decode_page(body)
    except UNDECODABLE as error:
        raise UnreadableError(f"a list that is none: {error}") from error
    if not page.metadata.resource_version:
        raise UnreadableError("a list without its version")
    return page


def decode_event(line: bytes) -> wire.Event:
    """A line of a watch."""
    try:
        return _decode_event(line)
    except UNDECODABLE as error:
        raise UnreadableError(f"a line that is no event: {error}") from error


def decode_version(subject: msgspec.Raw) -> str:
    """The version of an object."""
    try:
        version = _decode_version(subject).metadata.resource_version
    except UNDECODABLE as error:
        raise UnreadableError(f"an object without its version: {error}") from error
    if not version:
        raise UnreadableError("an object without its version")
    return version
