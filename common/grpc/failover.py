"""Calls of whichever of several servers answers."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from common.grpc.addresses import read_addresses
from common.grpc.answers import Answer
from common.grpc.client import GrpcClient
from common.grpc.security import Security
from common.grpc.status import Status

_logger = logging.getLogger(__name__)


class FailoverClient:
    """A client of one server of a list: of the first one at the beginning, and after a failed call of the next one.

    It stays with a server for as long as that answers its calls with OK, also when those before it in the list are
    back. Waiting before a call is made again is up to the caller. `call` and `close` belong to one thread; `interrupt`
    is for any other, and the figures may be read by any.

    Args:
        addresses: HOST:PORT, or several of them separated by commas. A name is looked up again for each connection.
        program: What calls, for the user agent.
        security: How to use TLS with all of them; None for plain text.

    Attributes:
        metadata: of each call, before its own; may be replaced by any thread.
        failures: calls that were not answered with OK, by server.
        moves: how often a server was left for another one.

    Raises:
        ValueError: an address, a certificate or a key cannot be used; the message says which and why.
    """

    def __init__(self, addresses: str, program: str, security: Security | None = None) -> None:
        self._addresses = read_addresses(addresses)
        self._clients = [
            GrpcClient(address, program, security, hasty=len(self._addresses) > 1) for address in self._addresses
        ]
        self._at = 0
        self._answered: str | None = None
        """The server that answered the last call that was answered."""
        self._failing = False
        self.metadata: Sequence[tuple[str, str]] = ()
        self.failures: Counter[str] = Counter()
        self.moves = 0

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def connections(self) -> dict[str, int]:
        """Connections made so far, by server."""
        return {address: client.connections for address, client in zip(self._addresses, self._clients, strict=True)}

    @property
    def address(self) -> str:
        """The server that the next call goes to."""
        return self._addresses[self._at]

    def call(
        self, path: str, metadata: Sequence[tuple[str, str]], body: Iterable[bytes], timeout: float | None
    ) -> Answer:
        """Make one call of one server, as GrpcClient.call does; when it fails the next call goes to the next server.

        Raises:
            Interrupted: another thread asked for that.
        """
        answer = self._clients[self._at].call(path, (*self.metadata, *metadata), body, timeout)
        if answer.status is Status.OK:
            self._note_answer()
        else:
            self._move_on(answer)
        return answer

    def renew(self, security: Security | None) -> None:
        """Make later connections with these certificates; those that there are stay. For any thread.

        Raises:
            ValueError: a certificate or a key cannot be used, and what was used before stays.
        """
        for client in self._clients:
            client.renew(security)  # what one cannot use none can

    def interrupt(self) -> None:
        """End the call that is under way, if any; the server is told."""
        for client in self._clients:
            client.interrupt()  # does nothing where none is

    def close(self) -> None:
        """Release all connections."""
        for client in self._clients:
            client.close()

    def _note_answer(self) -> None:
        if self._answered not in (None, self.address):
            _logger.warning("%s answers; calls go there from now on, and not to %s", self.address, self._answered)
        self._answered = self.address
        self._failing = False

    def _move_on(self, answer: Answer) -> None:
        left = self.address
        self.failures[left] += 1
        # A name may have several addresses, and a virtual address several servers: another connection may reach
        # another one.
        self._clients[self._at].leave()
        if len(self._clients) == 1:
            return
        self._at = (self._at + 1) % len(self._clients)
        self.moves += 1
        if not self._failing:  # one line for each outage, however many attempts it takes
            _logger.warning(
                "calls of %s fail, trying %s: %s: %s", left, self.address, answer.status.name, answer.message
            )
        self._failing = True
