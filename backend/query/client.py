"""Asks a running backend over HTTP."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from backend.query.shapes import Failure

SECONDS = 30.0
MAXIMUM_ANSWER = 256 * 1024 * 1024
"""Most bytes of an answer."""
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError)
"""What is raised for an answer that is none of ours."""
Answer = TypeVar("Answer", bound=msgspec.Struct)


class AskingError(Exception):
    """No answer, or one that says no.

    Attributes:
        error: what is wrong.
        hint: what to do.
    """

    def __init__(self, error: str, hint: str) -> None:
        super().__init__(error)
        self.error = error
        self.hint = hint


class Client:
    """The API of a backend.

    Args:
        address: Such as "127.0.0.1:12800", or with "https://" before it.
        token: What the backend asks of those who ask it; empty for nothing.

    Raises:
        AskingError: It is no address, or no header can hold the token.
    """

    def __init__(self, address: str, token: str = "") -> None:
        if not (token.isascii() and token.isprintable()):
            raise AskingError("the token cannot be sent", "see that it is printable ASCII in one line")
        self.address = address
        self._base = _base(address)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        # A backend is asked directly, whatever proxy the environment has for other things.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, shape: type[Answer], path: str, parameters: Mapping[str, str | Sequence[str]]) -> Answer:
        """Ask, and read the answer as `shape`. Raises AskingError."""
        query = urlencode(parameters, doseq=True)
        url = f"{self._base}{path}{'?' if query else ''}{query}"
        try:
            request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - the user names the address
            with self._opener.open(request, timeout=SECONDS) as response:
                body = response.read(MAXIMUM_ANSWER + 1)
                if (
                    response.length and len(body) <= MAXIMUM_ANSWER
                ):  # what was promised is not all here; read(n) says nothing about that
                    raise http.client.IncompleteRead(body, response.length)
        except urllib.error.HTTPError as refused:
            raise _refusal(self.address, refused) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            reason = getattr(reason, "strerror", None) or reason  # without its number
            raise AskingError(
                f"no answer from {self.address}: {reason}",
                f"is pyrover-backend serve running on {self.address}? --address names another",
            ) from None
        if len(body) > MAXIMUM_ANSWER:
            raise AskingError(
                f"{self.address} answers with more than {MAXIMUM_ANSWER:,} bytes", "ask for a shorter span, or for less"
            )
        try:
            return msgspec.json.decode(body, type=shape)
        except _UNDECODABLE as error:
            raise AskingError(
                f"what answers at {self.address} is not this version of pyrover-backend: {error}",
                "compare 'pyrover-backend --version' on both sides, and the port: the API is on 12800 by default",
            ) from None


def _base(address: str) -> str:
    """What comes before each path. Raises AskingError."""
    base = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(base)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none
        is_one = False
    if not is_one:
        raise AskingError(
            f"--address: {address!r} is no address of a backend",
            "write HOST:PORT, such as 127.0.0.1:12800, with https:// before it where it is encrypted",
        )
    return base


def _refusal(address: str, refused: urllib.error.HTTPError) -> AskingError:
    try:
        with refused:
            failure = msgspec.json.decode(refused.read(MAXIMUM_ANSWER), type=Failure)
    except (OSError, http.client.HTTPException, *_UNDECODABLE):
        return AskingError(
            f"{address} answers {refused.code} {refused.reason}",
            "is this the HTTP port of pyrover-backend (12800 by default), and is it ready (GET /healthcheck)?",
        )
    return AskingError(failure.error, failure.hint)
