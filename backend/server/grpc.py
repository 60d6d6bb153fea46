"""gRPC over ASGI: which handler answers a call, and how the answer is written.

A gRPC call is an HTTP/2 POST whose body is a run of length-prefixed messages, answered by the same and by trailers
that hold the status (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
"""

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Mapping
from urllib.parse import quote

from backend.ingest.framing import ACCEPTED_ENCODINGS
from backend.ingest.status import CallError, Status
from backend.server.asgi import Receive, Scope, Send
from backend.server.calls import Call, Disconnected, Handler, Streaming
from backend.server.tokens import Token

logger = logging.getLogger(__name__)

_CONTENT_TYPES = ("application/grpc", "application/grpc+proto")
_HEADERS = [
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", ",".join(ACCEPTED_ENCODINGS).encode()),
]
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_READABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def is_grpc(scope: Scope) -> bool:
    """Whether a request is a gRPC call, well formed or not."""
    return any(name == b"content-type" and value.startswith(b"application/grpc") for name, value in scope["headers"])


class GrpcApplication:
    """An ASGI application of gRPC methods.

    Args:
        handlers: By path, "/package.Service/method"; what is served from the beginning. Other calls are told to come
            again until `open` is called.
        token: What the metadata `authentication` of every call must hold; None to ask for nothing.
    """

    def __init__(self, handlers: Mapping[str, Handler], token: Token | None = None) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        """Calls ended, by path ("unknown" for a path that is not served) and status name."""
        self.handling = 0
        """Calls being handled now."""
        self._handlers = dict(handlers)
        self._opened = False
        self._token = Token() if token is None else token

    def open(self, handlers: Mapping[str, Handler]) -> None:
        """Serve these methods too, which is then all."""
        self._handlers.update(handlers)
        self._opened = True

    async def refuse(self, send: Send, error: CallError) -> None:
        """Answer a call with an error, whatever it is."""
        self.calls["unknown", error.status.name] += 1
        await _Answer(send).fail(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        metadata = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] != "POST":
            await _refuse(send, 405, [(b"allow", b"POST")])
            return
        if metadata.get("content-type", "").partition(";")[0].strip().lower() not in _CONTENT_TYPES:
            await _refuse(send, 415, [])
            return
        path: str = scope["path"]
        client = scope.get("client")
        call = Call(path, metadata, receive, None if client is None else (client[0], client[1]))
        self.handling += 1
        status = Status.CANCELLED
        try:
            status = await self._answer(call, send)
        except Disconnected:
            pass
        finally:
            self.handling -= 1
            self.calls[path if path in self._handlers else "unknown", status.name] += 1

    async def _answer(self, call: Call, send: Send) -> Status:
        answer = _Answer(send)
        try:
            trailers = await self._handle(call, answer)
        except CallError as error:
            await answer.fail(error)
            return error.status
        except (Disconnected, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("a call of %s failed; other calls are not concerned", call.path)
            await answer.fail(CallError(Status.INTERNAL, "the server failed at this call; its log says why"))
            return Status.INTERNAL
        await answer.end([(b"grpc-status", b"0"), *trailers])
        return Status.OK

    async def _handle(self, call: Call, answer: "_Answer") -> tuple[tuple[bytes, bytes], ...]:
        """Answer with messages; the trailers behind them."""
        if not self._token.admits(call.metadata.get("authentication", "").encode("latin-1")):
            raise CallError(Status.PERMISSION_DENIED, "the metadata 'authentication' does not hold the server's token")
        handler = self._handlers.get(call.path)
        if handler is None and not self._opened:
            raise CallError(Status.UNAVAILABLE, "the server is starting; send again in a moment")
        if handler is None:
            raise CallError(Status.UNIMPLEMENTED, f"{call.path} is not served here")
        limit = _timeout(call.metadata.get("grpc-timeout"))
        try:
            async with asyncio.timeout(limit) as deadline:
                if not isinstance(handler, Streaming):
                    reply = await handler(call)
                    answer.hold(reply.message)
                    return reply.trailers
                async with contextlib.aclosing(handler.answer(call)) as messages:
                    async for message in messages:
                        await answer.send(message)
                return ()
        except TimeoutError:
            if not deadline.expired():
                raise
            raise CallError(Status.DEADLINE_EXCEEDED, "the time the client gave this call is over") from None


class _Answer:
    """What is sent of an answer, in the order that HTTP asks for."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._held = b""

    def hold(self, message: bytes) -> None:
        """Send a message together with the end."""
        self._held = _framed(message)

    async def send(self, message: bytes) -> None:
        """Send a message now."""
        await self._start()
        await self._send({"type": "http.response.body", "body": _framed(message), "more_body": True})

    async def fail(self, error: CallError) -> None:
        """End with a status that is not OK."""
        message = quote(error.message, safe=_READABLE).encode()
        await self.end([(b"grpc-status", str(int(error.status)).encode()), (b"grpc-message", message)])

    async def end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """Send what is held, and the trailers."""
        # Errors have trailers too, although gRPC would allow headers alone: ASGI cannot say that headers end a
        # response, and clients refuse a status in headers that do not.
        await self._start()
        await self._send({"type": "http.response.body", "body": self._held})
        await self._send({"type": "http.response.trailers", "headers": trailers})

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "trailers": True, "headers": _HEADERS})


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _timeout(header: str | None) -> float | None:
    """Seconds that a call may take. Raises CallError for a header that is not a time."""
    if header is None:
        return None
    match = _TIMEOUT.fullmatch(header)
    if match is None:
        raise CallError(Status.INTERNAL, f"grpc-timeout {header!r} is not a number of at most 8 digits and a unit")
    return int(match[1]) * _UNITS[match[2]]


async def _refuse(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
