"""HTTP over TLS with sockets that block: a server and its clients, a thread each, and what their calls moved.

Arguments: certificate, key, clients, exchanges of each, bytes of each answer. Prints one JSON object.
"""

import json
import socket
import ssl
import sys
import threading

certificate, key = sys.argv[1:3]
clients, exchanges, size = map(int, sys.argv[3:6])
lock = threading.Lock()
account: dict[str, list[int]] = {"ports": [], "sent": [], "received": []}


def note(what: str, value: int) -> None:
    with lock:
        account[what].append(value)


def send(connection: ssl.SSLSocket, data: bytes) -> None:
    """Each `send` is one call of the library."""
    while data:
        sent = connection.send(data)
        note("sent", sent)
        data = data[sent:]


def receive(connection: ssl.SSLSocket, end: bytes, more: int = 0) -> bytes:
    """Up to an end of the head, and so many bytes."""
    data = b""
    while end not in data or len(data) < data.index(end) + len(end) + more:
        part = connection.recv(65536)
        if not part:
            break
        note("received", len(part))
        data += part
    return data


def serve(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with context.wrap_socket(connection, server_side=True) as encrypted:
        while receive(encrypted, b"\r\n\r\n"):
            send(encrypted, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            send(encrypted, bytes(size))


def ask(name: int, port: int) -> None:
    context = ssl.create_default_context(cafile=certificate)
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as encrypted,
    ):
        note("ports", encrypted.getsockname()[1])
        for exchange in range(exchanges):
            send(encrypted, b"GET /client/%d/%d HTTP/1.1\r\nHost: here\r\n\r\n" % (name, exchange))
            receive(encrypted, b"\r\n\r\n", size)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asking = [threading.Thread(target=ask, args=(name, port)) for name in range(clients)]
        serving = []
        for thread in asking:
            thread.start()
            serving.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
            serving[-1].start()
        for thread in asking + serving:
            thread.join()
    print(json.dumps(account))


main()
