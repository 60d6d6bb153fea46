"""Bytes to and from a server without waiting: a TCP connection, in plain text."""

import errno
import os
import select
import socket
from typing import Protocol

from common.grpc.addresses import Address
from common.grpc.patience import Patience

RECEIVE_SIZE = 65_536
"""Bytes read at once at most; more than the largest record of TLS, so that none is left inside the library."""


class Channel(Protocol):
    """A connection that never blocks.

    Attributes:
        read_on: The event of poll(2) to wait for before more can be received.
        write_on: The event to wait for before more can be sent.
    """

    read_on: int
    write_on: int

    def fileno(self) -> int:
        """The descriptor to wait for."""
        ...

    def receive(self) -> bytes | None:
        """What has come: None when there is nothing now, b"" at the end. Raises OSError."""
        ...

    def send(self, data: memoryview) -> int:
        """Bytes that were taken; 0 when none can be now. Raises OSError."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class PlainChannel:
    """Over a connected, non-blocking socket."""

    read_on = select.POLLIN
    write_on = select.POLLOUT

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def fileno(self) -> int:
        """As Channel.fileno."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """As Channel.receive."""
        try:
            return self._socket.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return None

    def send(self, data: memoryview) -> int:
        """As Channel.send."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """As Channel.close."""
        self._socket.close()


def connect(address: Address, patience: Patience) -> socket.socket:
    """A connected, non-blocking socket.

    Raises:
        OSError: nothing answers there.
        Expired, Interrupted: as Patience.wait.
    """
    patience.doing = f"connecting to {address}"
    connecting = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connecting.settimeout(0)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _finish_connecting(connecting, address, patience)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _finish_connecting(connecting: socket.socket, address: Address, patience: Patience) -> None:
    result = connecting.connect_ex(address.sockaddr)
    if result == errno.EINPROGRESS:
        while not patience.wait(connecting.fileno(), select.POLLOUT):
            pass
        result = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if result:
        raise OSError(result, os.strerror(result))
