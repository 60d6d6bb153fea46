"""The one application that both ports serve: gRPC calls by their content type, everything else by its path."""

from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from backend.server.asgi import Application, Receive, Scope, Send
from backend.server.calls import Handler
from backend.server.grpc import GrpcApplication, is_grpc


class BackendApplication:
    """An ASGI application; nothing in it depends on the server that runs it.

    Args:
        handlers: gRPC methods by path.
        routes: HTTP routes.
        token: See GrpcApplication.
    """

    def __init__(self, handlers: Mapping[str, Handler], routes: Sequence[BaseRoute], token: str = "") -> None:
        self.grpc = GrpcApplication(handlers, token)
        self._http: Application = Starlette(routes=list(routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and is_grpc(scope):
            await self.grpc(scope, receive, send)
        else:
            await self._http(scope, receive, send)
