"""Calls of a gRPC server, one at a time over one connection."""

import socket
from collections.abc import Callable, Iterable, Sequence

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from common.grpc.addresses import Address, Resolver, Target
from common.grpc.answers import Answer, read_answer
from common.grpc.channel import Channel, PlainChannel, connect
from common.grpc.http2 import ConnectionLost, Http2Connection
from common.grpc.messages import encode_timeout
from common.grpc.patience import Expired, Interrupter, Patience
from common.grpc.security import Security
from common.grpc.status import Status
from common.version import installed_version

ADDRESS_SECONDS = 5.0
"""How long one address is given to begin a connection, where there are more."""


class GrpcClient:
    """A client of one server. `call` and `close` belong to one thread; `interrupt` is for any other.

    Args:
        address: HOST:PORT.
        program: What calls, for the user agent.
        security: How to use TLS; None for plain text.
        hasty: Whether there are other servers to turn to: no address is given longer than ADDRESS_SECONDS then.

    Raises:
        ValueError: the address, a certificate or a key cannot be used.
    """

    def __init__(self, address: str, program: str, security: Security | None = None, *, hasty: bool = False) -> None:
        self._target = Target.parse(address)
        self._secure = _secured(security, self._target.host)
        self._hasty = hasty
        self._address: Address | None = None
        """Of the connection."""
        self._failed: dict[Address, None] = {}
        """Addresses that failed, the latest at the end; they are tried after the others, and in this order."""
        self.connections = 0
        """Made so far."""
        self._interrupter = Interrupter()
        self._resolver = Resolver(self._target, self._interrupter)
        self._connection: Http2Connection | None = None
        self._constant = [
            HeaderTuple(":method", "POST"),
            HeaderTuple(":scheme", "http" if security is None else "https"),
            HeaderTuple(":authority", address),
            HeaderTuple("te", "trailers"),
            HeaderTuple("content-type", "application/grpc"),
            HeaderTuple("user-agent", f"{program}/{installed_version() or 'unknown'}"),
        ]

    def call(
        self, path: str, metadata: Sequence[tuple[str, str]], body: Iterable[bytes], timeout: float | None
    ) -> Answer:
        """Make one call and wait for its end.

        Args:
            path: /PACKAGE.SERVICE/METHOD.
            metadata: Further headers, in printable ASCII.
            body: The messages, framed (common/grpc/messages.py), in pieces of any size.
            timeout: Seconds for everything; None for as long as it takes.

        Returns:
            The server's answer, or DEADLINE_EXCEEDED or UNAVAILABLE with what went wrong.

        Raises:
            Interrupted: another thread asked for that.
        """
        with self._interrupter:
            patience = Patience(timeout, self._interrupter)
            try:
                connection = self._connected(patience)
                response = connection.request(self._headers(path, metadata, patience), body, patience)
            except Expired as expired:
                # Whoever does not answer in time may not be there any more; nothing else would tell for minutes.
                self.leave()
                return Answer(Status.DEADLINE_EXCEEDED, f"{timeout:g} s are over while {expired}")
            except ConnectionLost as lost:
                self.leave()
                return Answer(Status.UNAVAILABLE, str(lost))
        return read_answer(response)

    def leave(self) -> None:
        """Close the connection, if any; its address is tried after all others of the name from now on."""
        if self._address is not None:
            self._note_failure(self._address)
        self._disconnect()

    def renew(self, security: Security | None) -> None:
        """Make later connections with these certificates; the one that there is stays. For any thread.

        Raises:
            ValueError: a certificate or a key cannot be used, and what was used before stays.
        """
        self._secure = _secured(security, self._target.host)

    def interrupt(self) -> None:
        """End the call that is under way, if any; the server is told."""
        self._interrupter.interrupt()

    def close(self) -> None:
        """Release the connection."""
        self._disconnect()
        self._interrupter.close()

    def _headers(self, path: str, metadata: Sequence[tuple[str, str]], patience: Patience) -> list[HeaderTuple]:
        # What may differ from call to call, or is a secret, is kept out of the table of headers: a server may allow it
        # gigabytes, and they would fill up.
        varying = [*metadata] if patience.left is None else [("grpc-timeout", encode_timeout(patience.left)), *metadata]
        return [
            *self._constant[:2],
            HeaderTuple(":path", path),
            *self._constant[2:],
            *(NeverIndexedHeaderTuple(name, value) for name, value in varying),
        ]

    def _connected(self, patience: Patience) -> Http2Connection:
        """The connection that there is, or a new one."""
        patience.check()
        if self._connection is not None and not self._connection.is_usable():
            self._disconnect()
        if self._connection is None:
            self._connection = self._connect(patience)
        return self._connection

    def _connect(self, patience: Patience) -> Http2Connection:
        """A connection to the first address that takes one.

        Raises:
            ConnectionLost: none does; the message says why, for each.
        """
        failures = []
        addresses = self._resolve(patience)
        for number, address in enumerate(addresses, 1):
            alone = number == len(addresses) and not self._hasty
            share = patience.at_most(None if alone else ADDRESS_SECONDS)
            try:
                connection = self._begin(address, share)
            except (ConnectionLost, OSError) as error:
                failures.append(f"{address}: {error.strerror or error}" if isinstance(error, OSError) else str(error))
            except Expired as expired:
                self._note_failure(address)
                if patience.left == 0:
                    raise
                failures.append(f"too long {expired}")
            else:
                self._address = address
                self.connections += 1
                return connection
            self._note_failure(address)
        raise ConnectionLost("; ".join(failures))

    def _resolve(self, patience: Patience) -> list[Address]:
        """All addresses of the server, looked up anew; those that failed come last."""
        share = patience.at_most(ADDRESS_SECONDS if self._hasty else None)
        try:
            addresses = self._resolver.resolve(share)
        except OSError as error:
            raise ConnectionLost(f"{self._target.host} has no address: {error.strerror or error}") from error
        except Expired as expired:
            if patience.left == 0:
                raise
            raise ConnectionLost(f"too long {expired}") from expired
        self._failed = {address: None for address in self._failed if address in addresses}
        return [*(address for address in addresses if address not in self._failed), *self._failed]

    def _note_failure(self, address: Address) -> None:
        self._failed.pop(address, None)
        self._failed[address] = None

    def _begin(self, address: Address, patience: Patience) -> Http2Connection:
        connected = connect(address, patience)
        patience.doing = f"shaking hands with {address}"
        connection = Http2Connection(self._secure(connected, patience), str(address))
        try:
            connection.start(patience)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._address = None


def _secured(security: Security | None, host: str) -> Callable[[socket.socket, Patience], Channel]:
    """What makes a channel of a connected socket."""
    if security is None:
        return lambda connected, _: PlainChannel(connected)
    from common.grpc.tls import make_context, secure  # noqa: PLC0415 - takes 4 MB where it is not needed

    context = make_context(security)
    return lambda connected, patience: secure(connected, context, host, patience)
