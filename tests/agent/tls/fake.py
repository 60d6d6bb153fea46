"""The library of fake_library.c, for Python."""

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path

HEADER = 5
HELLO = b"\x16\x03\x01\x00\x01\x01"
RECORD = b"\x17\x03\x03\x00\x00"


class Session(ctypes.Structure):
    """The beginning of `struct session`; the rest is the library's."""

    _fields_ = (
        ("descriptor", ctypes.c_int),
        ("text_length", ctypes.c_int),
        ("within", ctypes.c_void_p),
        ("leaps", ctypes.c_int),
        ("lingers", ctypes.c_int),
        ("leap", ctypes.c_char * 4096),
        ("text", ctypes.c_char * 65536),
    )

    @property
    def address(self) -> int:
        return ctypes.addressof(self)


class FakeLibrary:
    """Calls of the library."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._text_at = ctypes.c_size_t.in_dll(self._library, "text_at").value

    def session(self, connection: socket.socket | None = None, within: Session | None = None) -> Session:
        """A session that uses a socket itself, or one whose records are moved by the caller."""
        session = Session()
        session.descriptor = -1 if connection is None else connection.fileno()
        session.within = within.address if within else None
        return session

    def shake_hands(self, session: Session, how: str = "SSL_do_handshake") -> None:
        assert self._library[how](ctypes.byref(session)) == 1

    def write(self, session: Session, text: bytes) -> None:
        assert self._library.SSL_write(ctypes.byref(session), text, len(text)) == len(text)

    def write_counted(self, session: Session, text: bytes) -> None:
        sent = ctypes.c_size_t()
        arguments = ctypes.byref(session), text, ctypes.c_size_t(len(text)), ctypes.byref(sent)
        assert self._library.SSL_write_ex(*arguments) == 1
        assert sent.value == len(text)

    def write_through_another_function(self, session: Session, text: bytes) -> None:
        function = self._library.gnutls_record_send
        function.restype = ctypes.c_ssize_t
        assert function(ctypes.byref(session), text, ctypes.c_size_t(len(text))) == len(text)

    def read(self, session: Session, size: int = 65536) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        got = self._library.SSL_read(ctypes.byref(session), buffer, size)
        return buffer.raw[: max(got, 0)]

    def read_counted(self, session: Session, size: int = 65536) -> bytes:
        buffer, got = ctypes.create_string_buffer(size), ctypes.c_size_t()
        arguments = ctypes.byref(session), buffer, ctypes.c_size_t(size), ctypes.byref(got)
        assert self._library.SSL_read_ex(*arguments) == 1
        return buffer.raw[: got.value]

    def hold(self, session: Session, text: bytes) -> None:
        """Text that the session gives to the next reads, as if it came in records that were handed to it."""
        ctypes.memmove(session.address + self._text_at, text, len(text))
        session.text_length = len(text)

    def send_file(self, session: Session, size: int) -> None:
        function = self._library.SSL_sendfile
        function.restype = ctypes.c_ssize_t
        arguments = ctypes.byref(session), 0, ctypes.c_long(0), ctypes.c_size_t(size), 0
        assert function(*arguments) == size

    def leap_out_of_a_read(self, session: Session) -> None:
        assert self._library.leap_out_of_a_read(ctypes.byref(session)) == 1

    def free(self, session: Session) -> None:
        self._library.SSL_free(ctypes.byref(session))


@contextlib.contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


def inode_of(end: socket.socket) -> int:
    return os.fstat(end.fileno()).st_ino
