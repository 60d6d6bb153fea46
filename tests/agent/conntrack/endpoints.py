"""Both ends of connections, as programs: what each says it was connected to is what the agent has to show.

    endpoints.py serve ADDRESS,PORT ...
    endpoints.py connect ADDRESS PORT COUNT [--same-port PORT] [--hold] [--udp]

Each prints "ready", and then answers lines of standard input: a server with what it accepted so far, a client by
making its connections and telling them. With --hold a client keeps them open and sends once more at the next line.
"""

import argparse
import json
import selectors
import socket
import struct
import sys

NUMBER = struct.Struct("!I")
AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: a close that resets the connection


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(places: list[str]) -> None:
    selector = selectors.DefaultSelector()
    for place in places:
        address, _, port = place.partition(",")
        listener = socket.create_server((address, int(port)), family=family(address), backlog=512)
        selector.register(listener, selectors.EVENT_READ, "listener")
        datagrams = socket.socket(family(address), socket.SOCK_DGRAM)
        datagrams.bind((address, int(port)))
        selector.register(datagrams, selectors.EVENT_READ, "datagrams")
    selector.register(sys.stdin, selectors.EVENT_READ, "question")
    accepted: list[tuple[int, object, object]] = []
    say("ready")
    while True:
        for key, _ in selector.select():
            one = key.fileobj
            if key.data == "question":
                if not sys.stdin.readline():
                    return
                say(accepted)
                continue
            assert isinstance(one, socket.socket)
            if key.data == "listener":
                connection, _ = one.accept()
                selector.register(connection, selectors.EVENT_READ, "connection")
                continue
            if key.data == "datagrams":
                data, peer = one.recvfrom(NUMBER.size)
                accepted.append((NUMBER.unpack(data)[0], one.getsockname(), peer))
                one.sendto(data, peer)
                continue
            try:
                data = one.recv(NUMBER.size)
            except ConnectionResetError:
                data = b""
            if data:
                accepted.append((NUMBER.unpack(data)[0], one.getsockname(), one.getpeername()))
                one.sendall(data)
            else:
                selector.unregister(one)
                one.close()


def connect(arguments: argparse.Namespace) -> None:
    say("ready")
    held = []
    sys.stdin.readline()
    made = []
    for number in range(arguments.count):
        kind = socket.SOCK_DGRAM if arguments.udp else socket.SOCK_STREAM
        one = socket.socket(family(arguments.address), kind)
        one.settimeout(120)
        if arguments.same_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            one.bind(("", arguments.same_port))
        one.connect((arguments.address, arguments.port))
        exchange(one, number)
        made.append((number, one.getsockname(), one.getpeername()))
        if arguments.hold or arguments.udp:
            held.append(
                one
            )  # a datagram socket that was closed might give its port, and so its connection, to the next
        else:
            one.close()
    if not arguments.hold:
        for one in held:
            one.close()
        held.clear()
    say(made)
    while sys.stdin.readline():
        for number, one in enumerate(held):
            exchange(one, number)
        say(made)


def exchange(one: socket.socket, number: int) -> None:
    one.sendall(NUMBER.pack(number))
    assert one.recv(NUMBER.size) == NUMBER.pack(number)


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve").add_argument("places", nargs="+")
    connecting = commands.add_parser("connect")
    connecting.add_argument("address")
    connecting.add_argument("port", type=int)
    connecting.add_argument("count", type=int)
    connecting.add_argument("--same-port", type=int, default=0)
    connecting.add_argument("--hold", action="store_true")
    connecting.add_argument("--udp", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        serve(arguments.places)
    else:
        connect(arguments)


if __name__ == "__main__":
    main()
