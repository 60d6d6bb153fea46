"""A list of all objects of a kind that is kept up to date: list, then watch, then list again where that is needed.

How: https://kubernetes.io/docs/reference/using-api/api-concepts/. A list says the version at which it was true, in
pages that all belong to that version. A watch begins there and tells each change; bookmarks say that nothing else
changed up to a version. A server keeps the changes of a few minutes: when the version of a watch is older, it answers
410 Gone, and only a new list helps. Whoever subscribed keeps the old objects until the new list is complete.
"""

import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from http.client import HTTPException
from threading import Event, Thread
from typing import Final, Generic, TypeVar

import msgspec

from common.kubernetes import wire
from common.kubernetes.access import Access, AccessError
from common.kubernetes.answers import UNDECODABLE, ExpiredError, RefusedError, UnreadableError, refused_by_event
from common.kubernetes.connection import Connection, StoppedError, Stopper, read_all, read_lines
from common.kubernetes.decoding import decode_event, decode_page, decode_version
from common.kubernetes.patience import Backoff
from common.kubernetes.resources import Named, Resource
from common.kubernetes.subscriber import Change, Subscriber

_logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Named)

_UNAVAILABLE: Final = frozenset((HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND))
_MARGIN_SECONDS: Final = 30.0
"""What a server may take longer than it was asked to, before the connection counts as dead."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How a server is asked."""

    page: int = 500
    """Objects in a page of a list."""
    watch_seconds: tuple[int, int] = (240, 480)
    """Length of a watch: between these, at random, so that watches do not end all at once."""
    list_seconds: float = 60.0
    """Longest silence within an answer to a list."""
    first_wait: float = 1.0
    longest_wait: float = 30.0
    """Seconds: what is waited at most after a first failure, and after any."""
    longest_line: int = 8 * 1024 * 1024
    """Bytes of an event; a server stores objects of about 1.5 MB at most."""
    largest_page: int = 256 * 1024 * 1024
    """Bytes of a page."""
    objects: int = 300_000
    """Objects that are taken of a list."""


class Restart(Enum):
    """Why a watch had to begin again."""

    ENDED = "ended by the server"
    """As it was asked to, after its time; the next one goes on where it ended."""
    EXPIRED = "version expired"
    """410 Gone: everything is listed again."""
    DISCONNECTED = "no connection"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    FAILED = "failed inside"
    """Whoever subscribed raised an error: that is a mistake of this program. Everything is listed again."""


_LIST_AGAIN: Final = frozenset((Restart.EXPIRED, Restart.UNREADABLE, Restart.FAILED))
_CAUSES: Final = (
    (ExpiredError, Restart.EXPIRED),
    ((RefusedError, AccessError), Restart.REFUSED),
    ((OSError, HTTPException), Restart.DISCONNECTED),
    (UnreadableError, Restart.UNREADABLE),
    (Exception, Restart.FAILED),
)


def _cause(error: Exception) -> Restart:
    return next(cause for kinds, cause in _CAUSES if isinstance(error, kinds))


@dataclass(slots=True)
class WatchCounts:
    """What happened in a watch, for who reads its figures."""

    lists: int = 0
    """Complete ones."""
    events: int = 0
    bookmarks: int = 0
    restarts: Counter[Restart] = field(default_factory=Counter)
    unreadable_objects: int = 0
    objects_without_room: int = 0
    trouble: str = ""
    """Why it does not run at the moment; empty while it does."""


class Watch(Generic[T]):
    """Keeps a subscriber up to date, in a thread of its own."""

    def __init__(
        self,
        resource: Resource[T],
        access: Access,
        subscriber: Subscriber[T],
        settings: WatchSettings | None = None,
    ) -> None:
        self.resource = resource
        self.counts = WatchCounts()
        self._access = access
        self._subscriber = subscriber
        self._settings = settings or WatchSettings()
        # Not for secrecy: that many programs do not do the same at once.
        self._random = random.Random()  # noqa: S311 - see above
        self._backoff = Backoff(self._settings.first_wait, self._settings.longest_wait, self._random.random)
        self._version: str | None = None
        """Up to which everything was told; None when all must be listed."""
        self._was_told = True
        """Whether the last watch told anything."""
        self._page = self._settings.page
        self._stopper = Stopper()
        self._ending = Event()
        self._thread = Thread(target=self._run, name=f"watch {resource.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Ask for the end, without waiting for it."""
        self._ending.set()
        self._stopper.stop()

    def stop(self) -> None:
        """End, and wait until it has. It may take until an attempt to connect has failed: 10 seconds at most."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            wait = self._attempt()
            if wait:
                self._ending.wait(wait)

    def _attempt(self) -> float:
        """List and watch until that ends; seconds to wait before the next time."""
        begin = time.monotonic()
        try:
            with Connection(self._access, self._stopper) as connection:
                if self._version is None:
                    self._list(connection)
                self._watch(connection)
        except StoppedError:
            return 0.0
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave all answers to grow old unseen
            return self._failed(error)
        self.counts.restarts[Restart.ENDED] += 1
        if time.monotonic() - begin >= self._settings.first_wait:  # it was quiet, and did what it should
            self._backoff.succeeded()
        return self._backoff.wait() if self._backoff.failures or not self._was_told else 0.0

    def _failed(self, error: Exception) -> float:
        if self._ending.is_set():  # this is what ended it
            return 0.0
        cause = _cause(error)
        self.counts.restarts[cause] += 1
        if cause in _LIST_AGAIN:
            self._version = None
        said = str(error) or type(error).__name__
        if cause is Restart.FAILED:
            _logger.error("a mistake in what follows the cluster's %s", self.resource.name, exc_info=error)
        elif cause is not Restart.EXPIRED and said != self.counts.trouble:
            _logger.warning("cannot follow the cluster's %s: %s%s", self.resource.name, said, self._advice(error))
        self.counts.trouble = said
        if not isinstance(error, RefusedError):
            return self._backoff.wait()
        if error.code in _UNAVAILABLE:
            self._subscriber.unavailable()
        return self._backoff.wait(error.retry_after)

    def _advice(self, error: Exception) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                "; name the authority that vouches for the server (certificate-authority), or the name it has in its \
certificate (tls-server-name)"
            )
        if not isinstance(error, RefusedError):
            return ""
        if error.code == HTTPStatus.FORBIDDEN:
            group = self.resource.group or '""'
            return (
                f"; give the account a ClusterRole with list and watch of {self.resource.name} (apiGroups: [{group}])"
            )
        if error.code == HTTPStatus.UNAUTHORIZED:
            return "; the token or certificate is not, or no longer, accepted: check the service account or kubeconfig"
        return ""

    def _list(self, connection: Connection) -> None:
        found: list[T] = []
        more = ""
        while True:
            query = {"limit": str(self._page)}
            if self.resource.selector:
                query["fieldSelector"] = self.resource.selector
            if more:
                query["continue"] = more
            try:
                response = connection.get(self.resource.path, query, self._settings.list_seconds)
            except ExpiredError:
                # The version of the first page is gone before the last one was asked for: fewer pages are faster.
                self._page *= 8
                raise
            page = decode_page(read_all(response, self._settings.largest_page))
            found.extend(self._take(page, self._settings.objects - len(found)))
            more = page.metadata.more
            if not more:
                break
        self._page = self._settings.page
        self._subscriber.replace(found)
        self._version = page.metadata.resource_version
        self.counts.lists += 1

    def _watch(self, connection: Connection) -> None:
        seconds = self._random.randint(*self._settings.watch_seconds)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(seconds),
        }
        if self.resource.selector:
            query["fieldSelector"] = self.resource.selector
        response = connection.get(self.resource.path, query, seconds + _MARGIN_SECONDS)
        self.counts.trouble = ""
        self._was_told = False
        for lines in read_lines(response, self._settings.longest_line):
            self._told(lines)
            self._was_told = True
            self._backoff.succeeded()

    def _told(self, lines: Sequence[bytes]) -> None:
        changes: list[Change[T]] = []
        last: msgspec.Raw | None = None
        try:
            for line in lines:
                last = self._note(decode_event(line), changes)
        finally:  # what was told before an error has happened
            if changes:
                self._subscriber.apply(changes)
            if last is not None:
                self._version = decode_version(last)

    def _note(self, event: wire.Event, changes: list[Change[T]]) -> msgspec.Raw:
        """Note what an event tells; its object."""
        if event.type == "BOOKMARK":
            self.counts.bookmarks += 1
        elif event.type in {"ADDED", "MODIFIED", "DELETED"}:
            self.counts.events += 1
            if (subject := self._read(event.object)) is not None:
                changes.append(Change(subject, present=event.type != "DELETED"))
        elif event.type == "ERROR":
            raise refused_by_event(bytes(event.object))
        else:
            raise UnreadableError(f"an event of the unknown type {event.type!r}")
        return event.object

    def _take(self, page: wire.Page, room: int) -> list[T]:
        objects = [subject for raw in page.items or () if (subject := self._read(raw)) is not None]
        if len(objects) > room:
            self.counts.objects_without_room += len(objects) - room
        return objects[:room]

    def _read(self, raw: msgspec.Raw) -> T | None:
        try:
            return self.resource.read(raw)
        except UNDECODABLE:
            self.counts.unreadable_objects += 1
            return None
