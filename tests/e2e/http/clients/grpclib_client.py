"""grpclib's client, on asyncio: the calls of test_grpc.py (messages.py) on one channel, a hundred at once.

Its TLS is OpenSSL over memory.
"""

import asyncio
import json
import ssl
import sys

from grpclib import GRPCError
from grpclib.client import Channel

from tests.e2e.http.clients.grpc_client import MADE_AT_ONCE
from tests.e2e.http.clients.messages import account, messages
from tests.e2e.http.servers.echo import kind_and_status, on_the_wire
from tests.e2e.http.servers.grpclib_server import CARDINALITIES, Raw


async def call(channel: Channel, path: str, requests: list[bytes]) -> tuple[int, int]:
    """(bytes of the responses with their heads, status)."""
    kind, _ = kind_and_status(path)
    received = 0
    try:
        async with channel.request(path, CARDINALITIES[kind], bytes, bytes) as stream:
            for request in requests[:-1]:
                await stream.send_message(request)
            await stream.send_message(requests[-1], end=True)
            async for response in stream:
                received += on_the_wire([response])
    except GRPCError as error:
        return received, int(error.status.value)
    return received, 0


async def main() -> None:
    given = json.load(sys.stdin)
    context = None
    if given["ca"]:
        context = ssl.create_default_context(cafile=given["ca"])
        context.set_alpn_protocols(["h2"])
    host, _, port = given["address"].rpartition(":")
    at_once = asyncio.Semaphore(MADE_AT_ONCE)

    async def one(channel: Channel, path: str, sizes: list[int], wanted: list[int]) -> None:
        requests = messages(sizes, wanted)
        async with at_once:
            received, status = await call(channel, path, requests)
        print(account(path, requests, received, status, tls=bool(given["ca"])))

    async with Channel(host, int(port), codec=Raw(), ssl=context) as channel:
        await asyncio.gather(*(one(channel, *made) for made in given["calls"]))


if __name__ == "__main__":
    asyncio.run(main())
