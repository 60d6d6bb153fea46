"""One application under the servers that Python sites use: uvicorn with either of its parsers, hypercorn with HTTP/2.

asgi_server uvicorn-h11|uvicorn-httptools|hypercorn LOG [CERTIFICATE KEY]
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn

from tests.e2e.http.servers.answers import WITHOUT_BODY, Log, answer, ready

PATIENCE = 600
"""Seconds for which a connection is kept that has nothing to say, or a machine that stalls would end it."""
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application:
    """Answers as the other servers do."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await self._echo(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _echo(self, scope: Message, receive: Receive, send: Send) -> None:
        """Send each message back, until the peer leaves."""
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        said = {"path": scope["path"], "tls": scope["scheme"] == "wss"}
        if scope["http_version"] == "2":  # RFC 8441: a stream, whose body is what is sent
            self._log.write(method="CONNECT", status=200, version=2, **said)
        else:
            self._log.write(method="GET", status=101, version=1, request_body_bytes=0, response_body_bytes=0, **said)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        request_body, more = 0, True
        while more:
            message = await receive()
            request_body += len(message.get("body", b""))
            more = message.get("more_body", False)
        given = answer(scope["path"])
        headers = []
        if given.tells_length and given.status not in WITHOUT_BODY:
            headers.append((b"content-length", b"%d" % len(given.body)))
        await send({"type": "http.response.start", "status": given.status, "headers": headers})
        sent = 0
        if scope["method"] != "HEAD":
            for piece in given.pieces():
                await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
                sent += len(piece)
        self._log.write(
            method=scope["method"],
            path=scope["path"],
            status=given.status,
            request_body_bytes=request_body,
            response_body_bytes=sent,
            version=int(scope["http_version"].partition(".")[0]),
            tls=scope["scheme"] == "https",
        )
        await send({"type": "http.response.body", "body": b""})


async def main() -> None:
    kind, log, *tls = sys.argv[1:]
    application = Application(Log(log))
    # With its protocol, as asyncio makes listeners itself: only of such does it let connections send at once what is
    # small (TCP_NODELAY). A body that waits for the acknowledgement of its head waits for 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    port = listener.getsockname()[1]
    if kind == "hypercorn":
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        configuration = hypercorn.config.Config()
        configuration.bind = [f"fd://{listener.detach()}"]
        configuration.graceful_timeout = 0
        configuration.h2_max_concurrent_streams = 128
        configuration.keep_alive_max_requests = 100_000  # of one test, by one connection
        # keep_alive_timeout stays as it is: websockets over HTTP/2 end by it alone.
        if tls:
            configuration.certfile, configuration.keyfile = tls
        ready(port)
        await hypercorn.asyncio.serve(application, configuration, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
        return
    certificate, key = tls or (None, None)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            http=kind.partition("-")[2],  # h11 or httptools
            ws="wsproto" if kind == "uvicorn-h11" else "websockets-sansio",
            ssl_certfile=certificate,
            ssl_keyfile=key,
            log_level="warning",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=PATIENCE,
            ws_ping_interval=None,
        )
    )
    # uvicorn ends by the signal that it was sent, once it has handled it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready(port)
    await server.serve([listener])


if __name__ == "__main__":
    asyncio.run(main())
