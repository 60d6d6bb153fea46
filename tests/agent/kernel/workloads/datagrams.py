"""Workloads of UDP."""

import os
import socket
from typing import Any

from tests.agent.kernel.workloads.sockets import describe, family_of, udp_server
from tests.agent.kernel.workloads.system_calls import Messages, libc, raw_address, receive_messages, send_messages


def udp_connected(host: str) -> dict[str, Any]:
    server = udp_server(host)
    client = socket.socket(family_of(host), socket.SOCK_DGRAM)
    client.connect(server.getsockname()[:2])
    sent = [client.send(b"12345"), os.write(client.fileno(), b"1234567")]
    got = [len(server.recv(100)), len(server.recv(100))]
    sent += send_messages(client, Messages([3, 4]))
    got += receive_messages(server, Messages([10, 10]))
    result = {"client": describe(client), "server": describe(server), "sent": sent, "got": got}
    client.close()
    server.close()
    return result


def udp_unconnected(host: str) -> dict[str, Any]:
    """Every call that names its peer, and mmsg with two peers."""
    servers = [udp_server(host) for _ in range(2)]
    client = socket.socket(family_of(host), socket.SOCK_DGRAM)
    addresses = [server.getsockname()[:2] for server in servers]
    client.sendto(b"first", addresses[0])
    client.sendmsg([b"second!"], [], 0, addresses[1])
    names = [raw_address(addresses[0]), raw_address(addresses[1]), raw_address(addresses[0])]
    sent = send_messages(client, Messages([3, 4, 5], names))
    got = [len(servers[0].recvfrom(100)[0]), len(servers[1].recvmsg(100)[0])]
    unnamed = len(os.read(servers[0].fileno(), 100))
    room = Messages([100], [bytes(28)])
    many = receive_messages(servers[0], room)
    rest = receive_messages(servers[1], Messages([100], [bytes(28)]))
    return {
        "client": describe(client),
        "servers": [describe(server) for server in servers],
        "sent": [5, 7, *sent],
        "got": got,
        "unnamed": unnamed,
        "many": many + rest,
    }


def udp_burst(host: str, count: int) -> dict[str, Any]:
    """One sendmmsg with many messages from an unconnected socket."""
    server = udp_server(host)
    client = socket.socket(family_of(host), socket.SOCK_DGRAM)
    name = raw_address(server.getsockname()[:2])
    sent = send_messages(client, Messages([2] * count, [name] * count))
    return {"sent": len(sent)}


def udp_connect_results() -> dict[str, Any]:
    """UDP connects: fine, again to another peer, dissolved, refused by the kernel."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 1234))
    first = describe(sock)
    sock.connect(("127.0.0.1", 4321))
    second = describe(sock)
    libc.connect(sock.fileno(), bytes(16), 16)
    refused_sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    code = refused_sock.connect_ex(("255.255.255.255", 9))
    return {"first": first, "second": second, "code": code}


def flood(count: int) -> dict[str, Any]:
    """Exactly `count` writes of one byte on a UDP socket that nobody reads."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(sink.getsockname())
    return {"sent": sum(sock.send(b"x") for _ in range(count))}
