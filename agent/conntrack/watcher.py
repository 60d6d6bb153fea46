"""Listens to the kernel's connection tracking, in a thread of its own.

Connection tracking may begin at any time: nothing is asked for until the kernel has it, so that the agent does not
load a module that nobody uses; from then on each namespace is subscribed to first and dumped then, so that nothing
falls between the two. When the kernel's queue for a subscription overflows, the namespace is dumped again.
"""

import contextlib
import errno
import os
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.conntrack import filter as events_filter
from agent.conntrack.ctnetlink import NEW_AND_DESTROY, CtnetlinkError, Tracked, dump_request, parse
from agent.conntrack.namespaces import open_in_namespace
from agent.conntrack.translation import Translation

REVIEW_SECONDS: Final = 2.0
"""How often it is checked whether connection tracking has appeared and whether namespaces are still in use."""
QUEUE: Final = 65_536
"""Translations that may wait for `take`."""
_NETLINK_NETFILTER: Final = 12
_RECEIVE_BYTES: Final = 1 << 20
_DATAGRAM_BYTES: Final = 1 << 16  # the kernel fills at most 32 KiB of a dump at a time
_DATAGRAMS: Final = 1000  # of one namespace before another has its turn
_DUMP_SECONDS: Final = 10.0
_SO_RCVBUFFORCE: Final = 33


@dataclass(slots=True)
class _Subscription:
    """A namespace that is listened to."""

    namespace: int
    events: socket.socket
    requests: socket.socket

    def close(self) -> None:
        self.events.close()
        self.requests.close()


class ConntrackWatcher:
    """Gives translations as a TranslationSource. `start` it, and `close` it at the end."""

    def __init__(self, root: str, namespaces: int) -> None:
        """Watch the network namespace of process 1 of the /proc at `root`, and at most `namespaces` others.

        Without a process 1 that may be looked at, the agent's own namespace stands for the host's.
        """
        self._root = root
        self._capacity = namespaces
        self._lock = threading.Lock()
        self._queue: deque[Translation] = deque()
        self._wanted: dict[int, int] = {}
        self._losses: Counter[str] = Counter()
        self._subscriptions: dict[int, _Subscription] = {}
        self._host_process = 1 if _namespace_of(root, 1) else os.getpid()
        self._host_namespace = _namespace_of(root, self._host_process)
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.settimeout(0)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._closing = False
        self.reviews = 0
        """Times that it was looked what can be listened to."""
        self._thread = threading.Thread(target=self._run, name="conntrack", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and leave every namespace."""
        self._closing = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        for subscription in self._subscriptions.values():
            subscription.close()
        for end in (self._selector, self._wake_reader, self._wake_writer):
            end.close()

    def take(self, namespaces: Mapping[int, int]) -> list[Translation]:
        """What was learned since the last call; see TranslationSource."""
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
            fresh = namespaces.keys() - self._subscriptions.keys()
            for namespace, pid in namespaces.items():
                if namespace == self._host_namespace:
                    continue
                if namespace in self._wanted or len(self._wanted) < self._capacity:
                    self._wanted[namespace] = pid
                else:
                    self._losses["too many network namespaces"] += 1
        if fresh:
            self._wake()
        return taken

    def losses(self) -> dict[str, int]:
        """Why translations may be missing, by cause, since the start."""
        with self._lock:
            return {f"translations: {cause}": count for cause, count in self._losses.items()}

    @property
    def watched(self) -> frozenset[int]:
        """The network namespaces that are listened to at the moment."""
        with self._lock:
            return frozenset(self._subscriptions)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # then enough is there to wake it
            self._wake_writer.send(b"\0")

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closing:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                if key.data is None:
                    self._wake_reader.recv(_DATAGRAM_BYTES)
                    self._open_wanted()
                else:
                    self._drain(key.data)
            if time.monotonic() >= due:
                self._review()
                self.reviews += 1
                due = time.monotonic() + REVIEW_SECONDS

    def _review(self) -> None:
        """Leave namespaces whose process is gone, and listen to those that could not be listened to before.

        A subscription would keep the namespace alive. Where another process goes on, its next connection comes to say
        so.
        """
        with self._lock:
            wanted = dict(self._wanted)
        gone = {namespace for namespace, pid in wanted.items() if _namespace_of(self._root, pid) != namespace}
        for namespace in gone:
            self._forget(namespace)
            if namespace in self._subscriptions:
                self._leave(self._subscriptions[namespace])
        self._open_wanted()

    def _open_wanted(self) -> None:
        if not Path(f"{self._root}/sys/net/netfilter/nf_conntrack_count").exists():
            return
        with self._lock:
            wanted = {**self._wanted, self._host_namespace: self._host_process}
        for namespace, pid in wanted.items():
            if namespace not in self._subscriptions:
                self._open(namespace, pid)

    def _open(self, namespace: int, pid: int) -> None:
        try:
            events, requests = open_in_namespace(f"{self._root}/{pid}/ns/net", namespace, open_sockets)
        except OSError as error:
            # The process may have ended; another one of that namespace is named when it opens a connection.
            if error.errno not in {errno.ENOENT, errno.ESRCH}:
                self._lose(f"network namespace cannot be watched: {error.strerror}")
            self._forget(namespace)
            return
        subscription = _Subscription(namespace, events, requests)
        try:
            self._dump(subscription)
        except (OSError, CtnetlinkError) as error:
            subscription.close()  # tried again: connection tracking may be there, and ctnetlink not yet
            with self._lock:
                self._losses[f"connection tracking cannot be read: {error}"] = 1
            return
        with self._lock:
            self._subscriptions[namespace] = subscription
        self._selector.register(events, selectors.EVENT_READ, subscription)

    def _forget(self, namespace: int) -> None:
        with self._lock:
            self._wanted.pop(namespace, None)

    def _leave(self, subscription: _Subscription) -> None:
        self._selector.unregister(subscription.events)
        subscription.close()
        with self._lock:
            del self._subscriptions[subscription.namespace]

    def _drain(self, subscription: _Subscription) -> None:
        for _ in range(_DATAGRAMS):
            try:
                data = subscription.events.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self._lose(f"events cannot be read: {error.strerror}")
                    self._leave(subscription)
                    return
                self._lose("the kernel's queue was full")
                try:
                    self._dump(subscription)
                except (OSError, CtnetlinkError):
                    self._leave(subscription)  # the next review comes back to it
                    return
                continue
            try:
                self._give(subscription, parse(data).tracked)
            except CtnetlinkError:
                self._lose("events that cannot be read")

    def _dump(self, subscription: _Subscription) -> None:
        """Take what is tracked already.

        Raises:
            OSError: the kernel does not answer.
            CtnetlinkError: the kernel refuses.
        """
        for messages in dump(subscription.requests):
            self._give(subscription, messages)

    def _give(self, subscription: _Subscription, messages: Iterable[Tracked]) -> None:
        """Queue what a datagram says."""
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        found = [
            Translation(
                namespace=subscription.namespace,
                of_host=subscription.namespace == self._host_namespace,
                id=tracked.id,
                protocol=tracked.protocol,
                source=tracked.source,
                destination=tracked.destination,
                new_source=tracked.new_source,
                new_destination=tracked.new_destination,
                seen_ns=now_ns,
                ended=tracked.ended,
            )
            for tracked in messages
        ]
        with self._lock:
            room = QUEUE - len(self._queue)
            self._queue.extend(found[:room])
            if len(found) > room:
                self._losses["the agent's queue was full"] += len(found) - room

    def _lose(self, cause: str) -> None:
        with self._lock:
            self._losses[cause] += 1


def _namespace_of(root: str, pid: int) -> int:
    """The inode of a process's network namespace; 0 when the process is gone."""
    try:
        return os.stat(f"{root}/{pid}/ns/net").st_ino  # noqa: PTH116 - a link of /proc, followed to what it stands for
    except OSError:
        return 0


def dump(requests: socket.socket) -> Iterator[list[Tracked]]:
    """The translated connections that a namespace tracks, by the datagram.

    Raises:
        OSError: the kernel does not answer.
        CtnetlinkError: the kernel refuses.
    """
    requests.send(dump_request())
    while True:
        answer = parse(requests.recv(_DATAGRAM_BYTES))
        yield answer.tracked
        if answer.done:
            return


def open_sockets() -> tuple[socket.socket, socket.socket]:
    """A socket that events come to and one for requests, in the network namespace of this thread."""
    opened = [
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) for _ in range(2)
    ]
    events, requests = opened
    try:
        events.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        events_filter.attach(events)
        events.settimeout(0)
        events.bind((0, NEW_AND_DESTROY))
        requests.settimeout(_DUMP_SECONDS)
        requests.connect((0, 0))
    except OSError:
        for one in opened:
            one.close()
        raise
    return events, requests
