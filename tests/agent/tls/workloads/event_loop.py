"""HTTP over TLS in one event loop, which moves the records between OpenSSL and the sockets itself.

Arguments: certificate, key, clients, exchanges of each. Prints one JSON object: the clients' ports.
"""

import asyncio
import contextlib
import json
import ssl
import sys

certificate, key = sys.argv[1:3]
clients, exchanges = map(int, sys.argv[3:5])
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


async def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    client_context = ssl.create_default_context(cafile=certificate)

    async def ask(name: int) -> int:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
        )
        for exchange in range(exchanges):
            writer.write(b"GET /client/%d/%d HTTP/1.1\r\nHost: here\r\n\r\n" % (name, exchange))
            assert await reader.readexactly(len(ANSWER)) == ANSWER
        own_port = int(writer.get_extra_info("sockname")[1])
        writer.close()
        return own_port

    ports = await asyncio.gather(*(ask(name) for name in range(clients)))
    server.close()
    print(json.dumps({"ports": ports}))


asyncio.run(main())
