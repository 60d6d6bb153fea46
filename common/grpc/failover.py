"""Calls of whichever of several servers answers."""

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.grpc.addresses import read_addresses
from common.grpc.answers import Answer
from common.grpc.client import GrpcClient
from common.grpc.security import Security
from common.grpc.status import Status

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Shared:
    """What a client and its twins have in common."""

    security: Security | None
    clients: list[tuple[str, GrpcClient]] = field(default_factory=list)
    """Of all of them, each with the server that it calls."""
    metadata: Sequence[tuple[str, str]] = ()
    failures: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class FailoverClient:
    """A client of one server of a list: of the first one at the beginning, and after a failed call of the next one.

    It stays with a server for as long as that answers its calls with OK, also when those before it in the list are
    back. Waiting before a call is made again is up to the caller. `call` and `close` belong to one thread; `interrupt`
    is for any other, and the figures may be read by any. Another thread makes calls by a twin.

    Args:
        addresses: HOST:PORT, or several of them separated by commas. A name is looked up again for each connection.
        program: What calls, for the user agent.
        security: How to use TLS with all of them; None for plain text.

    Raises:
        ValueError: an address, a certificate or a key cannot be used; the message says which and why.
    """

    def __init__(self, addresses: str, program: str, security: Security | None = None) -> None:
        self._addresses = read_addresses(addresses)
        self._program = program
        self._shared = _Shared(security)
        self._begin(at=0)

    def _begin(self, at: int) -> None:
        several = len(self._addresses) > 1
        shared = self._shared
        with shared.lock:
            self._clients = [
                GrpcClient(address, self._program, shared.security, hasty=several) for address in self._addresses
            ]
            shared.clients += zip(self._addresses, self._clients, strict=True)
        self._at = at
        self._answered: str | None = None
        """The server that answered the last call that was answered."""
        self._failing = False

    def twin(self) -> "FailoverClient":
        """Another client of the same servers, for another thread; it begins with the server that this one is at.

        Both have the same metadata, certificates and figures, and are closed together.
        """
        made = object.__new__(type(self))
        made._addresses, made._program, made._shared = self._addresses, self._program, self._shared
        made._begin(self._at)
        return made

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """Of each call, before its own; may be replaced by any thread."""
        return self._shared.metadata

    @metadata.setter
    def metadata(self, metadata: Sequence[tuple[str, str]]) -> None:
        self._shared.metadata = metadata

    @property
    def failures(self) -> Counter[str]:
        """Calls that were not answered with OK, by server."""
        with self._shared.lock:
            return Counter(self._shared.failures)

    @property
    def moves(self) -> int:
        """How often a server was left for another one."""
        return self._shared.moves

    @property
    def connections(self) -> dict[str, int]:
        """Connections made so far, by server."""
        made = dict.fromkeys(self._addresses, 0)
        with self._shared.lock:
            for address, client in self._shared.clients:
                made[address] += client.connections
        return made

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
        with self._shared.lock:
            for _, client in self._shared.clients:
                client.renew(security)  # what one cannot use none can
            self._shared.security = security

    def interrupt(self) -> None:
        """End the call that is under way, if any; the server is told. One of a twin is not ended."""
        for client in self._clients:
            client.interrupt()  # does nothing where none is

    def close(self) -> None:
        """Release all connections, also those of twins."""
        with self._shared.lock:
            for _, client in self._shared.clients:
                client.close()

    def _note_answer(self) -> None:
        if self._answered not in (None, self.address):
            _logger.warning("%s answers; calls go there from now on, and not to %s", self.address, self._answered)
        self._answered = self.address
        self._failing = False

    def _move_on(self, answer: Answer) -> None:
        left = self.address
        with self._shared.lock:
            self._shared.failures[left] += 1
            self._shared.moves += len(self._clients) > 1
        # A name may have several addresses, and a virtual address several servers: another connection may reach
        # another one.
        self._clients[self._at].leave()
        if len(self._clients) == 1:
            return
        self._at = (self._at + 1) % len(self._clients)
        if not self._failing:  # one line for each outage, however many attempts it takes
            _logger.warning(
                "calls of %s fail, trying %s: %s: %s", left, self.address, answer.status.name, answer.message
            )
        self._failing = True
