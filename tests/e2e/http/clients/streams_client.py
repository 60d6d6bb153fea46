"""asyncio streams: requests are sent before earlier ones are answered (pipelining, RFC 9112 section 9.3.2).

    streams_client DEPTH [PIECE]    calls on standard input (calls.py), an account on standard output

DEPTH requests are written at once, then their responses are read. With PIECE, they are written in parts of that many
bytes, each of which the server may read alone. TLS is asyncio's: OpenSSL over memory.
"""

import asyncio
import json
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

LIMIT = 64 * 1024


def encode(call: dict[str, Any], host: str) -> tuple[bytes, bytes]:
    """A request's head, and its body with its framing."""
    head = f"{call['method']} {call['target']} HTTP/1.1\r\nHost: {host}\r\n"
    content = b"y" * call["body_bytes"]
    if call["chunked"]:
        head += "Transfer-Encoding: chunked\r\n"
        content = (b"%x;name=value\r\n%b\r\n" % (len(content), content) if content else b"") + b"0\r\n\r\n"
    elif content:
        head += f"Content-Length: {len(content)}\r\n"
    return (head + "\r\n").encode(), content


async def read_response(reader: asyncio.StreamReader, method: str) -> tuple[int, int, int]:
    """(status, bytes of the head, bytes of the body)."""
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    status = int(start.split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    size = 0
    if method == "HEAD":
        pass
    elif headers.get("transfer-encoding") == "chunked":
        while part := int(await reader.readline(), 16):
            await reader.readexactly(part + 2)
            size += part
        await reader.readline()
    else:
        size = int(headers.get("content-length", 0))
        await reader.readexactly(size)
    return status, len(head), size


async def write(writer: asyncio.StreamWriter, data: bytes, piece: int) -> None:
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
        await writer.drain()


async def main() -> None:
    given = json.load(sys.stdin)
    base = urlsplit(given["base"])
    context = ssl.create_default_context(cafile=given["ca"]) if given["ca"] else None
    reader, writer = await asyncio.open_connection(base.hostname, base.port, ssl=context, limit=LIMIT)
    depth, *pieces = map(int, sys.argv[1:])
    for start in range(0, len(given["calls"]), depth):
        made = given["calls"][start : start + depth]
        requests = [encode(call, base.netloc) for call in made]
        data = b"".join(part for request in requests for part in request)
        sending = asyncio.create_task(write(writer, data, pieces[0] if pieces else len(data)))
        for call, (head, _) in zip(made, requests, strict=True):
            status, head_bytes, size = await read_response(reader, call["method"])
            said = {
                "method": call["method"],
                "path": call["target"],
                "status": status,
                "request_body_bytes": call["body_bytes"],
                "response_body_bytes": size,
                "request_header_bytes": len(head),
                "response_header_bytes": head_bytes,
                "version": 1,
                "tls": bool(given["ca"]),
            }
            print(json.dumps(said))
        await sending
    writer.close()


if __name__ == "__main__":
    asyncio.run(main())
