"""The library websockets: a connection for each call, whose messages are all echoed.

    websocket_client sync|asyncio MESSAGES    calls on standard input (calls.py), an account on standard output

sync sends a message when the one before has come back, over OpenSSL on the socket; asyncio sends while it receives,
over OpenSSL in memory. Some messages look like HTTP, and come back as they are: neither compressed nor masked.
"""

import asyncio
import itertools
import json
import ssl
import sys
from typing import Any

from websockets.asyncio.client import connect as connect_asyncio
from websockets.sync.client import connect as connect_sync

MESSAGES = [
    b"",
    b"m",
    b"GET /no/request HTTP/1.1\r\nHost: nobody\r\n\r\n",
    b"m" * 125,
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"m" * 126,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"m" * 2047,
    b"m" * 2048,
    b"POST /no/request HTTP/1.1\r\nHost: nobody\r\nContent-Length: 2000\r\n\r\n" + b"m" * 2000,
    b"m" * 20480,
    b"m" * 65536,
]
LARGE = b"m" * (5 * 1024 * 1024)
"""Sent once, in the midst of the others."""


def messages(count: int) -> list[bytes]:
    sent = list(itertools.islice(itertools.cycle(MESSAGES), count - 1))
    sent.insert(count // 2, LARGE)
    return sent


def talk_in_turns(address: str, context: ssl.SSLContext | None, sent: list[bytes]) -> None:
    with connect_sync(address, ssl=context, compression=None, max_size=None) as connection:
        for message in sent:
            connection.send(message)
            assert connection.recv() == message


async def talk_at_once(address: str, context: ssl.SSLContext | None, sent: list[bytes]) -> None:
    async with connect_asyncio(address, ssl=context, compression=None, max_size=None) as connection:

        async def send() -> None:
            for message in sent:
                await connection.send(message)

        sending = asyncio.create_task(send())
        for message in sent:
            assert await connection.recv() == message
        await sending


def main(given: dict[str, Any], kind: str, count: int) -> None:
    context = ssl.create_default_context(cafile=given["ca"]) if given["ca"] else None
    sent = messages(count)
    for call in given["calls"]:
        address = given["base"].replace("http", "ws", 1) + call["target"]
        if kind == "sync":
            talk_in_turns(address, context, sent)
        else:
            asyncio.run(talk_at_once(address, context, sent))
        said = {
            "method": "GET",
            "path": call["target"],
            "status": 101,
            "request_body_bytes": 0,
            "response_body_bytes": 0,
            "version": 1,
            "tls": bool(given["ca"]),
        }
        print(json.dumps(said))


if __name__ == "__main__":
    main(json.load(sys.stdin), sys.argv[1], int(sys.argv[2]))
