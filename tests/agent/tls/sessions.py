"""What tests of sessions move, and what they expect to be told of it."""

import socket
import struct

from agent.events.layout import EventKind
from tests.agent.tls.fake import HELLO, RECORD, FakeLibrary, inode_of
from tests.agent.tls.watching import Call, TlsWatch

READ, WRITE = EventKind.READ, EventKind.WRITE
GET = b"GET /one HTTP/1.1\r\nHost: here\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: the socket is gone when it has been closed."""


def told(call: Call) -> tuple[int, int, EventKind, int, bytes]:
    return call.inode, call.session, call.kind, call.size, call.begins


def receive(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += end.recv(size - len(data))
    return data


Ends = tuple[socket.socket, socket.socket]


class Carried:
    """A session whose records the test moves between the library and a socket, as an event loop does."""

    def __init__(self, fake: FakeLibrary, end: socket.socket) -> None:
        self.fake, self.end, self.session = fake, end, fake.session()

    def shake_hands_as_client(self) -> None:
        self.fake.shake_hands(self.session)
        self.end.sendall(HELLO)

    def shake_hands_as_server(self) -> None:
        receive(self.end, len(HELLO))
        self.fake.shake_hands(self.session)

    def write(self, text: bytes) -> None:
        self.fake.write(self.session, text)
        self.end.sendall(RECORD + text)

    def read(self, text: bytes) -> None:
        receive(self.end, len(RECORD + text))
        self.fake.hold(self.session, text)
        assert self.fake.read(self.session) == text

    def told(self, kind: EventKind, text: bytes) -> tuple[int, int, EventKind, int, bytes]:
        return inode_of(self.end), self.session.address, kind, len(text), text


def unattributed(tls: TlsWatch) -> int:
    return tls.source.incomplete()["tls_socket_unknown"]
