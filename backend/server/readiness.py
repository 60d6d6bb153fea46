"""Whether the backend is ready, and if not, what it waits for: over HTTP and over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import msgspec
from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import Response

from backend.ingest.status import CallError, Status
from backend.server.calls import Call, Disconnected, Reply
from protos.health.health_pb2 import HealthCheckRequest, HealthCheckResponse

HEALTH_PATH = "/grpc.health.v1.Health/Check"
WATCH_PATH = "/grpc.health.v1.Health/Watch"
_MESSAGE_LIMIT = 4_096
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = (
    HealthCheckResponse(status=status).SerializeToString()
    for status in (HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING, HealthCheckResponse.SERVICE_UNKNOWN)
)


class Readiness:
    """What is ready and what is awaited.

    Args:
        awaited: The parts that must be ready before the backend is.
    """

    def __init__(self, awaited: Iterable[str]) -> None:
        self._state = dict.fromkeys(awaited, "starting")
        self._stopping = False
        self._changed = asyncio.Event()
        """Set at the next change, by which another takes its place."""

    @property
    def ready(self) -> bool:
        """Whether everything is."""
        return not self._stopping and all(state == "ready" for state in self._state.values())

    def done(self, part: str) -> None:
        """A part is ready."""
        self._state[part] = "ready"
        self._tell()

    def stop(self) -> None:
        """The backend stops; it will not be ready again."""
        self._stopping = True
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def healthcheck(self, _request: Request) -> Response:
        """GET /healthcheck: 200 when ready, 503 when not, and the reasons."""
        status = "stopping" if self._stopping else "ready" if self.ready else "starting"
        body = msgspec.json.encode({"status": status, "parts": self._state})
        code = 200 if self.ready else 503
        return Response(body, code, {"cache-control": "no-store"}, "application/json")

    async def check(self, call: Call) -> Reply:
        """grpc.health.v1.Health/Check, for the server as a whole and for each service it names."""
        service = requested_service(await call.message(_MESSAGE_LIMIT))
        if not _is_served(service):
            raise CallError(Status.NOT_FOUND, f"{service} is not served here")
        return Reply(_SERVING if self.ready else _NOT_SERVING)

    async def watch(self, call: Call) -> AsyncGenerator[bytes, None]:
        """grpc.health.v1.Health/Watch: the same now and whenever it changes, until the backend stops."""
        served = _is_served(requested_service(await call.message(_MESSAGE_LIMIT)))
        gone = asyncio.ensure_future(call.gone())
        told = b""
        try:
            while not gone.done():
                changed, stopping = self._changed, self._stopping
                status = _SERVICE_UNKNOWN if not served else _SERVING if self.ready else _NOT_SERVING
                if status != told:
                    yield status
                    told = status
                if stopping:
                    return
                waiting = asyncio.ensure_future(changed.wait())
                try:
                    await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
            raise Disconnected
        finally:
            gone.cancel()


def _is_served(service: str) -> bool:
    return not service or service.startswith("skywalking.v3.")


def requested_service(message: bytes) -> str:
    """The service that a HealthCheckRequest asks about; empty for the server as a whole.

    Raises:
        CallError: INVALID_ARGUMENT for anything else.
    """
    try:
        return HealthCheckRequest.FromString(message).service
    except DecodeError as error:
        raise CallError(Status.INVALID_ARGUMENT, f"the message is not a HealthCheckRequest: {error}") from error
