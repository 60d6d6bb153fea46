"""Two connections that are open before anybody watches: one is used and closed, one is only closed.

Prints "open" when both are, waits for a line, then does it.
"""

import socket
import sys

listener = socket.create_server(("127.0.0.1", 0))
pairs = []
for _ in range(2):
    client = socket.create_connection(listener.getsockname())
    pairs.append((client, listener.accept()[0]))
print("open", flush=True)
sys.stdin.readline()
(client, server), (idle_client, idle_server) = pairs
for size in (11, 13, 17):
    client.send(b"x" * size)
    server.recv(100)
for end in (client, server, idle_client, idle_server):
    end.close()
