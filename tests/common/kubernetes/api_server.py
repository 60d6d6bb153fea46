"""A strict double of the Kubernetes API server, over real HTTP: lists in pages, watches, and what goes wrong with them.

It holds objects as JSON, gives each change a version, and answers GET as
https://kubernetes.io/docs/reference/using-api/api-concepts/ says. What no client may send is refused and kept in
`violations`, which is empty at the end of `serving`, or that fails.
"""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tests.common.kubernetes.api_changes import Change, as_seen
from tests.common.kubernetes.api_http import Cut, Server
from tests.common.kubernetes.api_kinds import (
    KINDS,
    PATHS,
    Object,
    Refusal,
    bad_request,
    json_line,
    line,
    selector,
    status,
)
from tests.common.kubernetes.api_queries import OF_LISTS, OF_WATCHES, Key, continue_token, continued, number_of
from tests.waiting import PATIENCE

TOKEN: Final = "a-token"  # noqa: S105 - of this server alone


class Gone(Enum):
    """How a watch from a version is answered that is no longer kept. Servers do both."""

    STATUS = "410 as the status of the answer"
    EVENT = "an event of type ERROR"


@dataclass(frozen=True)
class Asked:
    """A request, and how it was answered."""

    kind: str
    query: Mapping[str, str]
    authorization: str
    status: int

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query


@dataclass(eq=False)
class Watcher:
    kind: str
    cut: Cut | None = None
    bookmarks: int = 0
    injected: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Given:
    """An answer: a body, or the lines of a watch."""

    code: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    watcher: Watcher | None = None
    lines: Iterator[bytes | Cut] = field(default_factory=lambda: iter(()))


class ApiServer:
    """The objects of a cluster, and who may read them.

    Attributes:
        tokens: those that are accepted.
        forbidden: (verb, kind) that nobody may do; verbs are list and watch.
        gone: how a watch learns that its version is no longer kept.
        piece: length of the chunks of a watch in bytes; None for one chunk an event.
        forgets_after_next_list: whether the versions up to the next answer to a list are forgotten right after it.
        watches_end_at_once: whether each watch is over as soon as it began.
        refusals: answers that are given before any other, each once: code and Retry-After.
        asked: all requests so far.
        violations: what clients did that none may do.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.tokens = {TOKEN}
        self.forbidden: set[tuple[str, str]] = set()
        self.gone = Gone.EVENT
        self.piece: int | None = None
        self.forgets_after_next_list = False
        self.watches_end_at_once = False
        self.refusals: list[tuple[int, str]] = []
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        self.changed = threading.Condition()
        self._context = context
        self._version = 1000
        self._kept_from = 1000
        self._handed_out = {1000}
        self._changes: list[Change] = []
        self._watchers: list[Watcher] = []
        self._ending = False
        self._now: dict[str, dict[Key, Object]] = {kind: {} for kind in KINDS}

    @contextmanager
    def serving(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
        """Serve on a port of a loopback address; its URL."""
        server = Server(host, port, self, self._context)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        scheme = "https" if self._context is not None else "http"
        try:
            yield f"{scheme}://{f'[{host}]' if ':' in host else host}:{server.server_address[1]}"
        finally:
            with self.changed:
                self._ending = True
                self.changed.notify_all()
            server.shutdown()
            server.end_connections()
            server.server_close()
            thread.join()
        assert self.violations == []

    def put(self, kind: str, wanted: Object) -> None:
        """Make an object, or change it."""
        metadata = wanted["metadata"]
        assert metadata["name"]
        assert bool(metadata.get("namespace")) == KINDS[kind].namespaced
        with self.changed:
            key = metadata.get("namespace", ""), metadata["name"]
            before = self._now[kind].get(key)
            self._now[kind][key] = wanted = deepcopy(wanted)
            self._change(kind, "ADDED" if before is None else "MODIFIED", wanted, before)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object."""
        with self.changed:
            before = self._now[kind].pop((namespace, name))
            self._change(kind, "DELETED", deepcopy(before), before)

    def objects(self, kind: str, version: int | None = None) -> dict[Key, Object]:
        """All objects of a kind, as of a version."""
        with self.changed:
            if version is None or version == self._version:
                return dict(sorted(self._now[kind].items()))
            found: dict[Key, Object] = {}
            for change in self._changes:
                if change.kind == kind and change.version <= version:
                    metadata = change.object["metadata"]
                    key = metadata.get("namespace", ""), metadata["name"]
                    if change.type == "DELETED":
                        del found[key]
                    else:
                        found[key] = change.object
        return dict(sorted(found.items()))

    def bookmark(self) -> None:
        """Send a bookmark to every watch that asked for such; it goes before all that happens after this."""
        self._tell(lambda watcher: setattr(watcher, "bookmarks", watcher.bookmarks + 1))
        self.until(lambda: all(watcher.bookmarks == 0 for watcher in self._watchers))

    def inject(self, line: bytes) -> None:
        """Send a line to every watch."""
        self._tell(lambda watcher: watcher.injected.append(line + b"\n"))

    def forget(self) -> None:
        """Keep no version but the present one: lists and watches of any other get 410 Gone."""
        with self.changed:
            self._version += 1
            self._kept_from = self._version

    def cut(self, how: Cut, kind: str | None = None) -> None:
        """Interrupt all watches, or those of a kind; it has happened when this returns."""
        cut = self.cut_soon(how, kind)
        self.until(lambda: not any(watcher in self._watchers for watcher in cut))

    def cut_soon(self, how: Cut, kind: str | None = None) -> list[Watcher]:
        """The same without waiting for it, for who holds `changed`; the watches that it is about."""
        with self.changed:
            cut = [watcher for watcher in self._watchers if kind in {None, watcher.kind}]
            for watcher in cut:
                watcher.cut = how
            self.changed.notify_all()
        return cut

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds of what the server was asked or has."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE)

    def watches(self, kind: str) -> int:
        """How many watches of a kind are open."""
        with self.changed:
            return sum(watcher.kind == kind for watcher in self._watchers)

    def answers(self, kind: str, verb: str) -> list[int]:
        """The status of each answer to the lists, or watches, of a kind."""
        with self.changed:
            return [asked.status for asked in self.asked if asked.kind == kind and asked.is_watch == (verb == "watch")]

    def respond(self, method: str, path: str, accept: str, authorization: str) -> Given:
        """The answer to a request."""
        kind = PATHS.get(urlsplit(path).path, "")
        query = dict(parse_qsl(urlsplit(path).query))
        with self.changed:
            try:
                given = self._respond(kind, method, path, accept, authorization)
            except Refusal as refusal:
                given = Given(refusal.code, refusal.body(), refusal.headers)
                if refusal.violation:
                    self.violations.append(f"{method} {path}: {refusal}")
            self.asked.append(Asked(kind, query, authorization, given.code))
            self.changed.notify_all()
        return given

    def left(self, watcher: Watcher) -> None:
        """A watch is over."""
        with self.changed:
            self._watchers.remove(watcher)
            self.changed.notify_all()

    def _respond(self, kind: str, method: str, path: str, accept: str, authorization: str) -> Given:
        if self.refusals:
            code, retry_after = self.refusals.pop(0)
            headers = {"Retry-After": retry_after} if retry_after else {}
            raise Refusal(code, "Unavailable", "not now", headers=headers)
        query = self._check(kind, method, path, accept, authorization)
        if "watch" not in query:
            body = json_line(self._list(kind, query))
            if self.forgets_after_next_list:
                self.forgets_after_next_list = False
                self.forget()
            return Given(200, body)
        watcher, lines = self._watch(kind, query)
        return Given(200, watcher=watcher, lines=lines)

    def _check(self, kind: str, method: str, path: str, accept: str, authorization: str) -> dict[str, str]:
        """The query of a request."""
        if method != "GET":
            raise Refusal(405, "MethodNotAllowed", f"{method} changes things", violation=True)
        if "application/json" not in accept and "*/*" not in accept:
            raise Refusal(406, "NotAcceptable", "only the media type application/json is served", violation=True)
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        parts = urlsplit(path)
        if not kind:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        query = dict(pairs)
        unknown = query.keys() - (OF_WATCHES if "watch" in query else OF_LISTS)
        if len(query) < len(pairs) or unknown:
            raise bad_request(f"parameters given twice, or not for this request: {sorted(unknown)}")
        verb = "watch" if "watch" in query else "list"
        if (verb, kind) in self.forbidden:
            raise Refusal(
                403,
                "Forbidden",
                f'{kind} is forbidden: User "tester" cannot {verb} resource "{kind}" at the cluster scope',
            )
        return query

    def _list(self, kind: str, query: Mapping[str, str]) -> Object:
        """A page of a list."""
        selected = selector(kind, query.get("fieldSelector", ""))
        limit = number_of(query, "limit")
        version, after = self._version, ("", "")
        if "resourceVersionMatch" in query and "resourceVersion" not in query:
            raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
        if token := query.get("continue", ""):
            if query.get("resourceVersion"):
                raise bad_request("specifying resource version is not allowed when using continue")
            version, after = continued(kind, query, token)
            if version < self._kept_from:
                raise Refusal(410, "Expired", "The provided continue parameter is too old to display a consistent list")
        found = [(key, each) for key, each in self.objects(kind, version).items() if key > after and selected(each)]
        page = found[:limit] if limit else found
        metadata: Object = {"resourceVersion": self._hand_out(version)}
        if len(page) < len(found):
            key = page[-1][0]
            metadata["continue"] = continue_token(kind, query, version, key)
            metadata["remainingItemCount"] = len(found) - len(page)
        about = KINDS[kind]
        items = [each for _, each in page]
        return {"kind": f"{about.name}List", "apiVersion": about.version, "metadata": metadata, "items": items or None}

    def _watch(self, kind: str, query: Mapping[str, str]) -> "tuple[Watcher, Iterator[bytes | Cut]]":
        """A watch: its lines, and how it ends."""
        selected = selector(kind, query.get("fieldSelector", ""))
        begin = number_of(query, "resourceVersion")
        number_of(query, "timeoutSeconds")
        if begin and begin not in self._handed_out:
            raise bad_request(f"the version {begin} was never given to anybody")
        gone = bool(begin) and begin < self._kept_from
        message = f"too old resource version: {begin} ({self._version})"
        if gone and self.gone is Gone.STATUS:
            raise Refusal(410, "Expired", message)
        watcher = Watcher(kind)
        self._watchers.append(watcher)
        if self.watches_end_at_once:
            return watcher, iter([Cut.TIME_IS_OVER])
        if gone:
            return watcher, iter([line("ERROR", status(410, "Expired", message)), Cut.TIME_IS_OVER])
        return watcher, self._lines(watcher, begin, selected, bookmarks="allowWatchBookmarks" in query)

    def _lines(
        self, watcher: Watcher, begin: int, selector: Callable[[Object], bool], *, bookmarks: bool
    ) -> "Iterator[bytes | Cut]":
        about = KINDS[watcher.kind]
        if not begin:
            with self.changed:
                begin = self._version
                there = list(self.objects(watcher.kind).values())
            for each in there:
                if selector(each):
                    yield line("ADDED", self._whole(watcher.kind, each))
        at = 0
        while True:
            with self.changed:
                self.changed.wait_for(
                    lambda at=at: (  # type: ignore[misc] # bound at once
                        self._ending
                        or watcher.cut is not None
                        or at < len(self._changes)
                        or watcher.bookmarks
                        or watcher.injected
                    )
                )
                changes, at = self._changes[at:], len(self._changes)
                injected, watcher.injected = watcher.injected, []
                cut = watcher.cut or (Cut.RESET if self._ending else None)
                version = self._hand_out(self._version)
                bookmarks_due, watcher.bookmarks = watcher.bookmarks, 0
                self.changed.notify_all()
            if cut is not None:
                yield cut
                return
            for change in changes:
                if change.kind == watcher.kind and change.version > begin and (told := as_seen(change, selector)):
                    self._handed_out.add(change.version)
                    yield line(told, self._whole(watcher.kind, change.object))
            yield from injected
            for _ in range(bookmarks_due if bookmarks else 0):
                nothing = {"metadata": {"resourceVersion": version, "creationTimestamp": None}, "status": {}}
                yield line("BOOKMARK", {"kind": about.name, "apiVersion": about.version, **nothing})

    def _tell(self, tell: Callable[[Watcher], object]) -> None:
        with self.changed:
            for watcher in self._watchers:
                tell(watcher)
            self.changed.notify_all()

    def _change(self, kind: str, type_: str, now: Object, before: Object | None) -> None:
        self._version += 1
        now["metadata"]["resourceVersion"] = str(self._version)
        self._changes.append(Change(self._version, kind, type_, now, before))
        self.changed.notify_all()

    def _hand_out(self, version: int) -> str:
        self._handed_out.add(version)
        return str(version)

    @staticmethod
    def _whole(kind: str, each: Object) -> Object:
        return {"kind": KINDS[kind].name, "apiVersion": KINDS[kind].version, **each}
