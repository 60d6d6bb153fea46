"""What an API server answers when it does not answer what was asked."""

from http import HTTPStatus
from typing import Final

import msgspec

from common.kubernetes.wire import Status

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises where bytes are not what they should be, or are nested too deep."""
_LONGEST_MESSAGE: Final = 500
"""Characters of a message that are told on."""
_decode = msgspec.json.Decoder(Status).decode


class RefusedError(Exception):
    """The API server refused a request; the message says why.

    Attributes:
        code: HTTP status, or the code of the Status in a watch.
        retry_after: seconds after which the server wants to be asked again; None when it did not say.
    """

    def __init__(self, code: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class ExpiredError(RefusedError):
    """410: the version or page that was asked for is no longer kept by the server. List again."""


class UnreadableError(Exception):
    """What the API server sent cannot be read; the message says why."""


def refused(code: int, body: bytes, retry_after: str | None = None) -> RefusedError:
    """Why a request was refused, out of an answer that is a Status or, from a proxy, anything else."""
    try:
        status = _decode(body)
    except UNDECODABLE:
        status = Status(message=body[:_LONGEST_MESSAGE].decode(errors="replace").strip())
    said = (status.message or status.reason or _phrase(code))[:_LONGEST_MESSAGE]
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    kind = ExpiredError if code == HTTPStatus.GONE else RefusedError
    return kind(code, f"{code}: {said}", seconds)


def refused_by_event(body: bytes) -> RefusedError:
    """Why a watch was ended by the server, out of the Status in an event of type ERROR."""
    try:
        code = _decode(body).code
    except UNDECODABLE:
        code = 0
    return refused(code or HTTPStatus.INTERNAL_SERVER_ERROR, body)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "refused without a reason"
