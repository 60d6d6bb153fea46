"""GraphQL over HTTP, as far as HTTP goes: what is sent, who has to wait, and what is answered with which status.

An answer has status 200 whatever is in it, as clients of Apache SkyWalking expect; other statuses are those of requests
that were not answered. Both have the form of GraphQL.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from backend.query.answering import Answering
from backend.query.errors import QueryError
from backend.query.graphql import execution, limits, page
from backend.query.graphql.context import Context, Sources
from backend.query.graphql.telemetry import Telemetry
from backend.query.mqe.shared_series import SharedSeries
from backend.query.turns import BusyError

RUNNING = 4
"""Most requests that are answered at a time."""
WAITING = 128
"""Most requests that wait for their turn."""
LONGEST_JOINED = 65_536
"""Longest body, in bytes, of which it is seen that an equal one waits already."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json", re.ASCII | re.IGNORECASE)


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        cause: for the counter.
        status: the HTTP status.
        error: what is wrong, and what to do.
    """

    def __init__(self, cause: str, status: HTTPStatus, error: str, hint: str) -> None:
        super().__init__(error)
        self.cause = cause
        self.status = status
        self.error = QueryError(error, hint)


class GraphqlEndpoint:
    """Answers requests, a few at a time, each in a worker thread. For one event loop.

    Args:
        sources: What is answered from.
        telemetry: What is counted.
        timer: Seconds that never go back.
    """

    def __init__(self, sources: Sources, telemetry: Telemetry, timer: Callable[[], float]) -> None:
        self._sources = sources
        self._telemetry = telemetry
        self._timer = timer
        self._answering = Answering(
            self._answer, self._share, running=RUNNING, waiting=WAITING, joined=telemetry.joined.inc
        )

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.method in {"GET", "HEAD"} and "query" not in request.query_params:
                return Response(page.BODY, headers=page.HEADERS, media_type="text/html")
            _check_head(request)
            body = await _body(request)
            asked = _decode(body)
            answered = await self._answering.ask(asked, body if _may_be_joined(asked, body) else None)
            self._telemetry.seconds.observe(answered.seconds)
        except BusyError as busy:
            return self._refuse(_busy(busy))
        except RefusedError as refused:
            return self._refuse(refused)
        if answered.error:
            self._telemetry.errors.labels(answered.error).inc()
        return Response(answered.body, headers=_HEADERS, media_type="application/json")

    def _share(self, requests: Sequence[execution.Request]) -> SharedSeries:
        return execution.share(requests, self._sources)

    def _answer(self, asked: execution.Request, series: SharedSeries) -> execution.Answered:
        began = self._timer()
        answered = execution.answer(asked, Context(self._sources, self._timer, series))
        return dataclasses.replace(answered, seconds=self._timer() - began)

    def _refuse(self, refused: RefusedError) -> Response:
        self._telemetry.refused.labels(refused.cause).inc()
        return _refusal(refused)


def _may_be_joined(asked: execution.Request, body: bytes) -> bool:
    """Whether an equal request has the same answer, and is short enough to be looked for."""
    # A document without the word has no mutation in it.
    return len(body) <= LONGEST_JOINED and "mutation" not in asked.query


def _busy(busy: BusyError) -> RefusedError:
    return RefusedError(
        "busy",
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{busy.waiting} requests are waiting for an answer already",
        "try again in a moment, and ask less often",
    )


def _check_head(request: Request) -> None:
    if request.method != "POST":
        raise RefusedError(
            "method", HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not answered here", "send queries by POST"
        )
    # A page of another site can make a browser send forms and plain text here, but not JSON.
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if not _JSON.fullmatch(kind):
        raise RefusedError(
            "type",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {kind!r}",
            'send {"query": "..."} as application/json',
        )


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limits.MAXIMUM_BODY:
                raise RefusedError(
                    "size",
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the request is larger than {limits.MAXIMUM_BODY:,} bytes",
                    "send it in several",
                )
    except ClientDisconnect:
        raise RefusedError(
            "form", HTTPStatus.BAD_REQUEST, "the connection ended before the request did", "send all of it"
        ) from None
    return bytes(body)


def _decode(body: bytes) -> execution.Request:
    try:
        return msgspec.json.decode(body, type=execution.Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(
            "form",
            HTTPStatus.BAD_REQUEST,
            f"the request is not a question: {error}",
            'send one JSON object with "query" (text), and "variables" (an object) and "operationName" where needed',
        ) from None


def _refusal(refused: RefusedError) -> Response:
    headers = dict(_HEADERS)
    if refused.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = "GET, HEAD, POST"
    if refused.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    code = execution.UNAVAILABLE if refused.status is HTTPStatus.SERVICE_UNAVAILABLE else execution.BAD_REQUEST
    body = execution.refusal(refused.error, code).body
    return Response(body, refused.status, headers, "application/json")
