"""asyncio streams that answer HTTP/1.1 by hand: one write for each response, pipelined requests in one turn.

    streams_server LOG [CERTIFICATE KEY]

TLS is asyncio's: OpenSSL over memory, the socket's calls apart from the library's.
"""

import asyncio
import signal
import ssl
import sys
from http import HTTPStatus

from tests.e2e.http.servers.answers import WITHOUT_BODY, Log, answer, ready

LIMIT = 64 * 1024


async def read_chunked(reader: asyncio.StreamReader) -> int:
    """The bytes of a chunked body."""
    body = 0
    while size := int((await reader.readline()).partition(b";")[0], 16):
        await reader.readexactly(size + 2)
        body += size
    await reader.readline()
    return body


class Connections:
    """Answers each connection until its end."""

    def __init__(self, log: Log, *, tls: bool) -> None:
        self._log = log
        self._tls = tls

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One exchange; whether others may follow."""
        request = await reader.readuntil(b"\r\n\r\n")
        start, *lines = request.decode("latin-1").split("\r\n")
        method, target, version = start.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" if headers.get("expect") == "100-continue" else b""
        if interim:
            writer.write(interim)
        if headers.get("transfer-encoding") == "chunked":
            request_body = await read_chunked(reader)
        else:
            request_body = int(headers.get("content-length", 0))
            await reader.readexactly(request_body)
        given = answer(target)
        chunked = not given.tells_length and version == "HTTP/1.1"
        head = f"HTTP/1.1 {given.status} {HTTPStatus(given.status).phrase}\r\n"
        if chunked:
            head += "Transfer-Encoding: chunked\r\n"
        elif given.tells_length and given.status not in WITHOUT_BODY:
            head += f"Content-Length: {len(given.body)}\r\n"
        closes = headers.get("connection") == "close" or version == "HTTP/1.0"
        response_head = (head + ("Connection: close\r\n" if closes else "") + "\r\n").encode()
        body = [] if method == "HEAD" else given.pieces()
        if chunked and method != "HEAD":
            chunks = (b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) for piece in body)
            writer.writelines([response_head, *chunks, b"0\r\n\r\n"])
        else:
            writer.writelines([response_head, *body])
        await writer.drain()
        self._log.write(
            method=method,
            path=target,
            status=given.status,
            request_body_bytes=request_body,
            response_body_bytes=sum(map(len, body)),
            request_header_bytes=len(request),
            response_header_bytes=len(interim) + len(response_head),
            version=1,
            tls=self._tls,
        )
        return not closes


async def main() -> None:
    log, *tls = sys.argv[1:]
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    connections = Connections(Log(log), tls=bool(tls))
    server = await asyncio.start_server(connections.serve, "127.0.0.1", 0, ssl=context, limit=LIMIT)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ready(server.sockets[0].getsockname()[1])
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
