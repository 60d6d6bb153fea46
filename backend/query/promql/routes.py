"""The HTTP API of Prometheus as routes of a Starlette application, under /api/v1."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from http import HTTPStatus

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from backend.metrics.windows import Compatibility
from backend.oal.definitions import Definition
from backend.query.catalog import Catalog
from backend.query.graphql.service_book import ServiceBook
from backend.query.panics import contained
from backend.query.promql import remote_read
from backend.query.promql.errors import Kind, PromqlError, wrong
from backend.query.promql.parameters import MAXIMUM_BODY, Parameters
from backend.query.promql.questions import QUESTIONS, Answer, Sources, label_values
from backend.query.promql.telemetry import Telemetry
from backend.query.turns import BusyError, Turns
from backend.storage.interface import Storage, StorageError

LOGGER = logging.getLogger(__name__)

RUNNING = 2
"""Most questions that are answered at a time."""
WAITING = 32
"""Most questions that wait for their turn."""
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_FORM = "application/x-www-form-urlencoded"
_PROTOBUF = "application/x-protobuf"
REMOTE_READ = "/api/v1/read"


class PromqlEndpoint:
    """Answers questions, a few at a time, each in a worker thread. For one event loop.

    Args:
        sources: What is answered from.
        telemetry: What is counted.
    """

    def __init__(self, sources: Sources, telemetry: Telemetry) -> None:
        self._sources = sources
        self._telemetry = telemetry
        self._turns = Turns(RUNNING, WAITING)

    async def respond(self, request: Request, answer: Answer) -> Response:
        """Answer one request."""

        async def asked() -> Response:
            self._check(request)
            parameters = Parameters(request.url.query, await _form(request), self._sources.clock())
            data = await self._in_turn(partial(_encoded, answer, self._sources, parameters))
            return Response(data, HTTPStatus.OK, _HEADERS, "application/json")

        return await self._answered(request, asked, refusal)

    async def read(self, request: Request) -> Response:
        """Answer one remote read."""

        async def asked() -> Response:
            _check_read(request)
            data = await self._in_turn(
                partial(remote_read.read, self._sources, await _body(request, remote_read.MAXIMUM_REQUEST))
            )
            return Response(data, HTTPStatus.OK, {**_HEADERS, "content-encoding": "snappy"}, _PROTOBUF)

        return await self._answered(request, asked, _refused_read)

    async def _answered(
        self, request: Request, asked: Callable[[], Awaitable[Response]], refused_as: Callable[[Kind, str], Response]
    ) -> Response:
        try:
            return await asked()
        except PromqlError as refused:
            kind, message = refused.kind, str(refused)
        except StorageError as failed:
            LOGGER.warning("%s could not be answered: %s", request.url.path, failed)
            kind, message = Kind.UNAVAILABLE, f"{failed}; the backend's log says more, try again in a moment"
        except Exception:
            LOGGER.exception("%s failed", request.url)
            kind, message = Kind.INTERNAL, "the backend failed to answer; its log has the reason, please report it"
        self._telemetry.refused.labels(kind.label).inc()
        return refused_as(kind, message)

    async def _in_turn(self, answer: Callable[[], bytes]) -> bytes:
        try:
            async with self._turns.turn():
                began = self._sources.timer()
                data = await run_in_threadpool(contained, answer)
                self._telemetry.seconds.observe(self._sources.timer() - began)
                return data
        except BusyError as busy:
            raise PromqlError(
                Kind.UNAVAILABLE, f"{busy.waiting} questions wait already: try again in a moment"
            ) from None

    @staticmethod
    def _check(request: Request) -> None:
        if request.method not in {"GET", "HEAD", "POST"}:
            raise PromqlError(Kind.BAD_DATA, f"{request.method} is not answered here: use GET or POST")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and kind != _FORM:
            raise wrong(f"the content type is {kind!r}: send parameters as {_FORM}")


def promql_routes(
    storage: Storage,
    definitions: Iterable[Definition],
    *,
    telemetry: Telemetry | None = None,
    compatibility: Compatibility | None = None,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.monotonic,
) -> list[BaseRoute]:
    """The HTTP API of Prometheus as routes.

    Args:
        storage: what is asked; its methods are called in worker threads.
        definitions: the metrics that are computed.
        telemetry: what is counted; make it once, for the routes are made again at every reload.
        compatibility: what to read as Apache SkyWalking does.
        clock: seconds since 1970-01-01 UTC.
        timer: seconds that never go back.
    """
    sources = Sources(storage, Catalog(definitions, compatibility), ServiceBook(storage, timer=timer), clock, timer)
    endpoint = PromqlEndpoint(sources, telemetry or Telemetry())

    async def values_of_label(request: Request) -> Response:
        name = request.path_params["name"]
        return await endpoint.respond(request, lambda known, asked: label_values(known, asked, name))

    async def unknown(request: Request) -> Response:
        known = ", ".join((*QUESTIONS, REMOTE_READ, "/api/v1/label/NAME/values"))
        return refusal(Kind.NOT_FOUND, f"there is no {request.url.path} here: there are {known}")

    return [
        *(Route(path, _answering(endpoint, answer), methods=_METHODS) for path, answer in QUESTIONS.items()),
        Route(REMOTE_READ, endpoint.read, methods=_METHODS),
        Route("/api/v1/label/{name}/values", values_of_label, methods=_METHODS),
        Route("/api/v1/{path:path}", unknown, methods=_METHODS),
    ]


def refusal(kind: Kind, message: str) -> Response:
    """The answer to a question that is not answered."""
    headers = dict(_HEADERS)
    if kind is Kind.UNAVAILABLE:
        headers["retry-after"] = "1"
    body = {"status": "error", "errorType": kind.label, "error": message}
    return Response(msgspec.json.encode(body), kind.status, headers, "application/json")


def _answering(endpoint: PromqlEndpoint, answer: Answer) -> Callable[[Request], object]:
    async def respond(request: Request) -> Response:
        return await endpoint.respond(request, answer)

    return respond


def _encoded(answer: Answer, sources: Sources, parameters: Parameters) -> bytes:
    return msgspec.json.encode({"status": "success", "data": answer(sources, parameters)})


def _check_read(request: Request) -> None:
    if request.method != "POST":
        raise PromqlError(Kind.BAD_DATA, f"{request.method} is not answered here: use POST, as Prometheus does")
    found = [request.headers.get(name, "").lower() for name in ("content-type", "content-encoding")]
    if found != [_PROTOBUF, "snappy"]:
        raise wrong(
            f"the content type is {found[0]!r} and its encoding {found[1]!r}: send {_PROTOBUF} and snappy, as the"
            " remote_read of Prometheus does"
        )


def _refused_read(kind: Kind, message: str) -> Response:
    """Prometheus shows the first line of such an answer."""
    return PlainTextResponse(f"{message}\n", kind.status, _HEADERS)


async def _form(request: Request) -> str:
    try:
        return (await _body(request, MAXIMUM_BODY)).decode("ascii")
    except UnicodeDecodeError:
        raise wrong("the body has bytes that are not ASCII: percent-encode parameters as UTF-8") from None


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise wrong(f"the body is larger than {most:,} bytes: ask in several questions")
    except ClientDisconnect:
        raise wrong("the connection ended before the body did: send all of it") from None
    return bytes(body)
