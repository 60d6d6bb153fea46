"""Files that are read again while the backend runs: by SIGHUP, or by a request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Generic, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.server.tokens import Token, bearer

T = TypeVar("T")

PATH = "/api/reload"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = {"cache-control": "no-store"}

_logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What became of a part."""

    REPLACED = "replaced"
    REFUSED = "refused"


class Answer(msgspec.Struct, frozen=True):
    """What became of one part."""

    part: str
    outcome: Outcome
    detail: str
    """What is in place now, or why the old one stays."""


class Answers(msgspec.Struct, frozen=True):
    """What became of all."""

    parts: list[Answer]


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Something that is made from files and can be replaced."""

    name: str
    load: Callable[[], T]
    """Reads and checks the files; blocks, changes nothing. Whatever it raises refuses the new one."""
    replace: Callable[[T], str | Awaitable[str]]
    """Puts the new one in place and says what it is, in a few words; does not block. What it raises refuses, too."""
    errors: tuple[type[Exception], ...]
    """What it raises when the files are wrong; anything else is a defect, of which the log has the trace."""


class Reloader:
    """Replaces parts, each by itself, one reload at a time.

    Args:
        parts: What can be replaced.
        registry: Where reloads are counted.
    """

    def __init__(self, parts: Sequence[Part], registry: CollectorRegistry) -> None:  # type: ignore[type-arg] # of any
        self._parts = parts
        self._counter = Counter(
            "pyrover_backend_reloads", "Files read again while running", ["part", "outcome"], registry=registry
        )
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[Answers]] = set()
        self._due = False
        """Whether a reload in the background has not begun yet."""

    async def reload(self, names: Collection[str] | None = None) -> Answers:
        """Read everything again, or only the parts of these names; what became of each."""
        async with self._one:
            return await self._reload_all(names)

    async def _reload_all(self, names: Collection[str] | None) -> Answers:
        return Answers([await self._reload(part) for part in self._parts if names is None or part.name in names])

    def soon(self) -> None:
        """Reload in the background; the log says what came of it. One that has not begun is for all who ask by then."""
        if not self._due:
            self._due = True
            task = asyncio.get_running_loop().create_task(self._reload_due(), name="reload")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reload_due(self) -> Answers:
        async with self._one:
            self._due = False
            return await self._reload_all(None)

    async def settle(self) -> None:
        """Wait for what is going on."""
        await asyncio.gather(*self._tasks)

    def route(self, token: Token) -> Route:
        """POST to reload.

        Args:
            token: What must come in the header Authentication, or as Authorization: Bearer.
        """

        async def reload(request: Request) -> Response:
            if request.method != "POST":
                body = {"error": f"{request.method} is not answered here", "hint": "use POST"}
                response = _respond(body, HTTPStatus.METHOD_NOT_ALLOWED)
                response.headers["allow"] = "POST"
                return response
            given, authorization = (
                request.headers.get(name, "").encode("latin-1") for name in ("authentication", "authorization")
            )
            if not token.admits(given or bearer(authorization)):
                body = {"error": "the token is missing or wrong", "hint": "send it in the header Authentication"}
                return _respond(body, HTTPStatus.FORBIDDEN)
            answers = await self.reload()
            refused = any(answer.outcome is Outcome.REFUSED for answer in answers.parts)
            return _respond(answers, HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK)

        return Route(PATH, reload, methods=_METHODS)

    async def _reload(self, part: Part[T]) -> Answer:
        try:
            detail = part.replace(await asyncio.to_thread(part.load))
            answer = Answer(part.name, Outcome.REPLACED, detail if isinstance(detail, str) else await detail)
            _logger.info("reload: %s replaced: %s", answer.part, answer.detail)
        except part.errors as error:
            answer = Answer(part.name, Outcome.REFUSED, str(error))
            _logger.error("reload: %s refused, the old ones stay: %s", answer.part, answer.detail)  # noqa: TRY400 - no defect
        except Exception as error:
            answer = Answer(part.name, Outcome.REFUSED, f"{type(error).__name__}: {error}")
            _logger.exception("reload: %s refused because of a defect, the old ones stay", answer.part)
        self._counter.labels(answer.part, answer.outcome).inc()
        return answer


def _respond(body: object, status: HTTPStatus) -> Response:
    return Response(msgspec.json.encode(body), status, _HEADERS, "application/json")
