"""What the recorded run did: a server and a client whose every call is counted.

    recording_workload.py server         prints its ports, then its totals when the client has gone
    recording_workload.py client P4 P6   prints its totals

Both wait for a line on standard input before they begin, and for another one before they end.
"""

import contextlib
import json
import os
import socket
import sys
from collections import Counter

CONNECTIONS = 8
REQUEST, REPLY = 100, 1000


def _listen(family: socket.AddressFamily, host: str) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen()
    return listener


def _receive(peer: socket.socket, size: int, totals: Counter[str]) -> None:
    while size:
        data = peer.recv(size)
        totals["reads"] += 1
        totals["bytes_read"] += len(data)
        size -= len(data)


def _send(peer: socket.socket, size: int, totals: Counter[str]) -> None:
    peer.sendall(b"x" * size)  # small enough for one call
    totals["writes"] += 1
    totals["bytes_written"] += size


def server() -> Counter[str]:
    """Accept CONNECTIONS on each listener and answer as many requests on each as its number says."""
    listeners = [_listen(socket.AF_INET, "127.0.0.1"), _listen(socket.AF_INET6, "::1")]
    print(json.dumps([listener.getsockname()[1] for listener in listeners]), flush=True)
    sys.stdin.readline()
    totals: Counter[str] = Counter()
    for listener in listeners:
        for number in range(CONNECTIONS):
            peer, _ = listener.accept()
            totals["accepts"] += 1
            for _ in range(number % 3 + 1):
                _receive(peer, REQUEST, totals)
                _send(peer, REPLY, totals)
            if number == 0:  # a second descriptor, closed by itself
                os.close(os.dup(peer.fileno()))
                totals["closes"] += 1
            if peer.recv(1):
                raise SystemExit("the client sent more than was asked for")
            peer.close()
            totals["closes"] += 1
    return totals


def client(ports: list[int]) -> Counter[str]:
    """Make the connections; the last one is left to the exit of the process. Then one that is refused."""
    sys.stdin.readline()
    totals: Counter[str] = Counter()
    for host, port in zip(("127.0.0.1", "::1"), ports, strict=True):
        for number in range(CONNECTIONS):
            peer = socket.create_connection((host, port))
            totals["connects"] += 1
            for _ in range(number % 3 + 1):
                _send(peer, REQUEST, totals)
                _receive(peer, REPLY, totals)
            totals["closes"] += 1
            if (host, number) == ("::1", CONNECTIONS - 1):
                with socket.socket() as unused:
                    unused.bind(("127.0.0.1", 0))  # bound and not listening: connecting to it is refused
                    with contextlib.suppress(ConnectionRefusedError):
                        socket.create_connection(unused.getsockname())
                    totals["failed_connects"] += 1
                peer.detach()
            else:
                peer.close()
    return totals


if __name__ == "__main__":
    done = server() if sys.argv[1] == "server" else client([int(port) for port in sys.argv[2:]])
    print(json.dumps(done), flush=True)
    sys.stdin.readline()  # stay until the agent has seen who did this
