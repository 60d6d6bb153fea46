"""The JSON API, as routes of a Starlette application."""

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backend.agents.book import AgentBook
from backend.metrics.windows import Compatibility
from backend.oal.definitions import Definition
from backend.oal.loader import load
from backend.query.agents import agents as heard_agents
from backend.query.answering import Answering
from backend.query.catalog import Catalog
from backend.query.endpoints import endpoints
from backend.query.errors import QueryError
from backend.query.expressions import EXPRESSION, expression, read
from backend.query.mqe.shared_series import Asked, SharedSeries
from backend.query.parameters import SPAN, Parameters
from backend.query.series import MAXIMUM_METRICS, metrics
from backend.query.services import instances, services
from backend.query.shapes import Failure, MetricNames
from backend.query.status import status
from backend.query.topology import instance_topology, topology
from backend.query.turns import BusyError
from backend.storage.interface import Storage, StorageError

LOGGER = logging.getLogger(__name__)
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
RUNNING = 4
"""Questions that are answered at a time, in worker threads."""
WAITING = 256
"""Questions that wait for their turn: a page of the console puts some thirty."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Question:
    """One address of the API."""

    path: str
    parameters: tuple[str, ...]
    """Names of the query parameters it knows."""
    answer: Callable[["Backend", Parameters], msgspec.Struct]
    """May raise QueryError and StorageError."""
    blocks: bool = True
    """Whether it is answered in a worker thread, as everything is that asks the store."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What questions are answered from."""

    storage: Storage
    catalog: Catalog
    registry: CollectorRegistry
    started: float
    agents: AgentBook
    series: SharedSeries | None = None
    """What expressions share that wait at the same time."""


def _metrics(backend: Backend, asked: Parameters) -> msgspec.Struct:
    window = asked.window()
    names = asked.several("name", MAXIMUM_METRICS)
    entity, step = asked.one("entity"), asked.step(window)
    return metrics(backend.storage, backend.catalog, names, entity, window=window, step=step)


EXPRESSION_PATH = "/api/expression"
QUESTIONS = (
    Question("/api/services", SPAN, lambda backend, asked: services(backend.storage, asked.window())),
    Question(
        # An id is base64, which has slashes: the part in the middle may be several.
        "/api/services/{id:path}/instances",
        SPAN,
        lambda backend, asked: instances(backend.storage, asked.path("id"), asked.window()),
    ),
    Question(
        "/api/services/{id:path}/endpoints",
        SPAN,
        lambda backend, asked: endpoints(backend.storage, asked.path("id"), asked.window()),
    ),
    Question("/api/endpoints", SPAN, lambda backend, asked: endpoints(backend.storage, None, asked.window())),
    Question("/api/topology", SPAN, lambda backend, asked: topology(backend.storage, asked.window())),
    Question(
        "/api/instance-topology",
        ("source", "target", *SPAN),
        lambda backend, asked: instance_topology(
            backend.storage, asked.one("source"), asked.one("target"), asked.window()
        ),
    ),
    Question("/api/metrics", ("name", "entity", "step", *SPAN), _metrics),
    Question(
        EXPRESSION_PATH,
        (*EXPRESSION, *SPAN),
        lambda backend, asked: expression(backend.storage, backend.catalog, asked, backend.series),
    ),
    Question("/api/agents", (), lambda backend, asked: heard_agents(backend.agents, asked.now), blocks=False),
    Question("/api/metrics/names", (), lambda backend, _: MetricNames(backend.catalog.names())),
    Question(
        "/api/status", (), lambda backend, asked: status(backend.registry, backend.started, asked.now), blocks=False
    ),
)


def routes(
    storage: Storage,
    definitions: Iterable[Definition] | None = None,
    *,
    registry: CollectorRegistry = REGISTRY,
    clock: Callable[[], float] = time.time,
    started: float | None = None,
    compatibility: Compatibility | None = None,
    agents: AgentBook | None = None,
) -> list[BaseRoute]:
    """The API, under /api.

    Args:
        storage: what is asked; its methods are called in worker threads.
        definitions: the metrics that are computed; by default those that come with the program.
        registry: where the receiver counts what it takes and drops.
        clock: seconds since 1970-01-01 UTC.
        started: when the backend started; now if that is not said.
        compatibility: what to read as Apache SkyWalking does.
        agents: who was heard, and what each tells of itself; by default nobody.

    Raises:
        OalError: the definitions that come with the program cannot be loaded.
    """
    catalog = Catalog(load(skip_unsupported=True).definitions if definitions is None else definitions, compatibility)
    book = agents if agents is not None else AgentBook(clock=clock)
    backend = Backend(storage, catalog, registry, clock() if started is None else started, book)
    answering = Answering(_answer, lambda asked: _shared(backend, asked), running=RUNNING, waiting=WAITING)
    asked = [
        Route(question.path, _endpoint(question, backend, clock, answering), methods=["GET"]) for question in QUESTIONS
    ]
    return [*asked, Route("/api/{path:path}", _refuse(asked), methods=METHODS)]


def respond(body: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A JSON response that nobody may keep: everything here is about now."""
    return Response(msgspec.json.encode(body), status, HEADERS, "application/json")


_Asked = tuple[Question, Parameters]
_Answering = Answering[_Asked, Backend, bytes]


def _answer(asked: _Asked, backend: Backend) -> bytes:
    question, parameters = asked
    parameters.allow(question.parameters)
    return msgspec.json.encode(question.answer(backend, parameters))


def _shared(backend: Backend, together: Sequence[_Asked]) -> Backend:
    """What questions are answered from that wait together."""

    def expressions() -> Iterator[Asked]:
        for question, parameters in together:
            if question.path == EXPRESSION_PATH:
                # What is wrong with a question is told when it is answered.
                with contextlib.suppress(QueryError):
                    yield read(parameters)

    return replace(backend, series=SharedSeries(backend.storage, backend.catalog, expressions))


def _endpoint(
    question: Question, backend: Backend, clock: Callable[[], float], answering: _Answering
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            now = clock()
            asked = question, Parameters(request.path_params, request.query_params, now)
            # Questions are about now, and so they are equal within a second.
            key = (question.path, *request.path_params.values(), request.url.query, int(now))
            body = await answering.ask(asked, key) if question.blocks else _answer(asked, backend)
            return Response(body, HTTPStatus.OK, HEADERS, "application/json")
        except BusyError as busy:
            failure = Failure(error=f"{busy.waiting} questions wait already", hint="try again in a moment")
            return respond(failure, HTTPStatus.SERVICE_UNAVAILABLE)
        except QueryError as refused:
            return respond(Failure(error=refused.error, hint=refused.hint), refused.status)
        except StorageError as failed:
            LOGGER.warning("%s could not be answered: %s", request.url.path, failed)
            hint = "the backend's log says more; try again in a moment"
            return respond(Failure(error=str(failed), hint=hint), HTTPStatus.SERVICE_UNAVAILABLE)
        except Exception:
            LOGGER.exception("%s failed", request.url)
            failure = Failure(error="the backend failed to answer", hint="its log has the reason; please report it")
            return respond(failure, HTTPStatus.INTERNAL_SERVER_ERROR)

    return endpoint


def _refuse(asked: list[Route]) -> Callable[[Request], Awaitable[Response]]:
    """What answers an unknown address, and a known one that is not asked by GET."""

    async def refuse(request: Request) -> Response:
        if any(route.path_regex.match(request.url.path) for route in asked):
            failure = Failure(error=f"{request.method} is not answered here", hint="use GET")
            response = respond(failure, HTTPStatus.METHOD_NOT_ALLOWED)
            response.headers["allow"] = "GET, HEAD"
            return response
        paths = ", ".join(question.path.replace(":path", "") for question in QUESTIONS)
        failure = Failure(error=f"there is no {request.url.path}", hint=f"there are {paths}")
        return respond(failure, HTTPStatus.NOT_FOUND)

    return refuse
