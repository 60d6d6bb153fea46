"""The one application that both ports serve: gRPC calls by their content type, everything else by its path."""

from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backend.server.asgi import Application, Receive, Scope, Send
from backend.server.calls import Handler, Streaming
from backend.server.grpc import GrpcApplication, is_grpc
from backend.server.readiness import HEALTH_PATH, WATCH_PATH, Readiness

_NOT_YET = b'{"error": "the backend is starting", "hint": "GET /healthcheck says what it waits for"}'


class BackendApplication:
    """An ASGI application; nothing in it depends on the server that runs it.

    It answers at once: /healthcheck and the gRPC health service say what is awaited, and everything else is refused
    until `open` is called.

    Args:
        readiness: What is awaited.
        token: See GrpcApplication.
    """

    def __init__(self, readiness: Readiness, token: str = "") -> None:
        health: dict[str, Handler] = {HEALTH_PATH: readiness.check, WATCH_PATH: Streaming(readiness.watch)}
        self.grpc = GrpcApplication(health, token)
        self._health = Route("/healthcheck", readiness.healthcheck, methods=["GET"])
        self._http: Application = Starlette(routes=[self._health, Route("/{path:path}", _not_yet)])

    def open(self, handlers: Mapping[str, Handler], routes: Sequence[BaseRoute]) -> None:
        """Serve everything: gRPC methods by path, and HTTP routes. Later calls replace the routes."""
        self.grpc.open(handlers)
        self._http = Starlette(routes=[self._health, *routes])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and is_grpc(scope):
            await self.grpc(scope, receive, send)
        else:
            await self._http(scope, receive, send)


async def _not_yet(_request: Request) -> Response:
    return Response(_NOT_YET, 503, {"retry-after": "1"}, "application/json")
