"""What a response over HTTP/2 means in terms of gRPC."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from h2.errors import ErrorCodes

from common.grpc.http2 import Response
from common.grpc.status import Status


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    status: Status
    message: str = ""
    """Why, in the words of the server or of this client."""
    trailers: Mapping[str, str] = field(default_factory=dict)


_BY_HTTP_STATUS = {
    b"400": Status.INTERNAL,
    b"401": Status.UNAUTHENTICATED,
    b"403": Status.PERMISSION_DENIED,
    b"404": Status.UNIMPLEMENTED,
    b"429": Status.UNAVAILABLE,
    b"502": Status.UNAVAILABLE,
    b"503": Status.UNAVAILABLE,
    b"504": Status.UNAVAILABLE,
}
"""For answers of others than gRPC servers; https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md."""

_BY_ERROR_CODE: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}
"""For streams that the server reset; the others mean that something went wrong within, INTERNAL."""

_LONGEST_NUMBER = 9
"""Digits of a status that are read; int() refuses thousands of them."""


def read_answer(response: Response) -> Answer:
    """The answer that a response holds."""
    if response.reset is not None:
        name = next((known.name for known in ErrorCodes if known == response.reset), str(response.reset))
        status = _BY_ERROR_CODE.get(response.reset, Status.INTERNAL)
        return Answer(status, f"the server ended the call by RST_STREAM {name}")
    # Without a body there are no trailers either: the headers hold what they would.
    last = response.trailers or response.headers
    trailers = {name.decode("latin-1"): value.decode("latin-1") for name, value in last.items()}
    if (number := last.get(b"grpc-status")) is not None:
        return Answer(_status(number), _decode_message(last.get(b"grpc-message", b"")), trailers)
    http, kind = response.headers.get(b":status", b""), response.headers.get(b"content-type", b"nothing")
    message = f"HTTP status {http.decode('latin-1')} with {kind.decode('latin-1')} and without a status of gRPC"
    return Answer(_BY_HTTP_STATUS.get(http, Status.UNKNOWN), message, trailers)


def _status(number: bytes) -> Status:
    if number.isdigit() and len(number) <= _LONGEST_NUMBER:
        with suppress(ValueError):  # a later version of gRPC may have more of them
            return Status(int(number))
    return Status.UNKNOWN


def _decode_message(value: bytes) -> str:
    """Percent-decoded; an escape that is none stands for itself."""
    return unquote_to_bytes(value).decode("utf-8", "replace")
