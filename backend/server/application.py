"""The one application that both ports serve: gRPC calls by their content type, everything else by its path."""

from collections import Counter
from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backend.ingest.status import CallError, Status
from backend.server.asgi import Application, Receive, Scope, Send
from backend.server.calls import Handler, Streaming
from backend.server.grpc import GrpcApplication, is_grpc
from backend.server.guard import HEALTH, Guard
from backend.server.readiness import HEALTH_PATH, WATCH_PATH, Readiness
from backend.server.tokens import Token

_WRONG_PORT = "agents are served on the port that asks for their certificates; send there"
_NOT_YET = b'{"error": "the backend is starting", "hint": "GET /healthcheck says what it waits for"}'


class BackendApplication:
    """An ASGI application; nothing in it depends on the server that runs it.

    It answers at once: /healthcheck and the gRPC health service say what is awaited, and everything else is refused
    until `open` is called.

    Args:
        readiness: What is awaited.
        token: See GrpcApplication.
        http_token: See Guard; None to ask for nothing.
    """

    def __init__(self, readiness: Readiness, token: Token | None = None, http_token: Token | None = None) -> None:
        health: dict[str, Handler] = {HEALTH_PATH: readiness.check, WATCH_PATH: Streaming(readiness.watch)}
        self.grpc = GrpcApplication(health, token)
        self.refused: Counter[str] = Counter()
        """Requests over HTTP that were refused, by cause."""
        self.ended: Counter[str] = Counter()
        """Connections that were ended, by cause; what serves the application counts them."""
        self._token = Token() if http_token is None else http_token
        self._health = Route(HEALTH, readiness.healthcheck, methods=["GET"])
        self._http: Application = self.guarded([Route("/{path:path}", _not_yet)])

    def open(self, handlers: Mapping[str, Handler], routes: Sequence[BaseRoute]) -> None:
        """Serve everything: gRPC methods by path, and HTTP routes. Later calls replace the routes."""
        self.grpc.open(handlers)
        self._http = self.guarded(routes)

    def guarded(self, routes: Sequence[BaseRoute], *, console: bool = True) -> Guard:
        """Routes, and /healthcheck, for those who may ask; whom this refuses is counted here too."""
        return Guard(Starlette(routes=[self._health, *routes]), self._token, self.refused, console=console)

    async def without_agents(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request on a port that asks nobody for a certificate, where other ports do."""
        if scope["type"] == "http" and is_grpc(scope):
            await self.grpc.refuse(send, CallError(Status.PERMISSION_DENIED, _WRONG_PORT))
        else:
            await self._http(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and is_grpc(scope):
            await self.grpc(scope, receive, send)
        else:
            await self._http(scope, receive, send)


async def _not_yet(_request: Request) -> Response:
    return Response(_NOT_YET, 503, {"retry-after": "1"}, "application/json")
