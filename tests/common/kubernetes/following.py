"""Watches of a double of the API server, with subscribers that can be waited for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Event
from typing import Any, Final

import msgspec

from common.kubernetes.access import Access, bearer_of, parse_server
from common.kubernetes.resources import Resource
from common.kubernetes.subscriber import Change
from common.kubernetes.watch import Watch, WatchSettings
from tests.common.kubernetes.api_server import TOKEN, ApiServer
from tests.waiting import PATIENCE

HURRIED: Final = WatchSettings(first_wait=0.001, longest_wait=0.01)


def access(url: str, token: str = TOKEN) -> Access:
    return Access(parse_server(url), authorization=lambda: bearer_of(token, "the test"))


def expected(server: ApiServer, resource: Resource[Any]) -> dict[tuple[str, str], Any]:
    """What a subscriber must have."""
    finished = {"Succeeded", "Failed"} if resource.name == "pods" else set()
    return {
        key: resource.read(msgspec.Raw(msgspec.json.encode(each)))
        for key, each in server.objects(resource.name).items()
        if each.get("status", {}).get("phase") not in finished
    }


class Follower:
    """Keeps what it is told, and lets others wait for it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Any] = {}
        self.history: list[str] = []
        """What was told: "list" with all names, and "+" or "-" with one."""
        self.told = Condition()

    def replace(self, objects: Sequence[Any]) -> None:
        with self.told:
            self.objects = {(each.namespace, each.name): each for each in objects}
            self.history.append(" ".join(["list", *(each.name for each in objects)]))
            self.told.notify_all()

    def apply(self, changes: Sequence[Change[Any]]) -> None:
        with self.told:
            for change in changes:
                key = change.object.namespace, change.object.name
                self.history.append(f"{'+' if change.present else '-'}{change.object.name}")
                if change.present:
                    self.objects[key] = change.object
                else:
                    self.objects.pop(key, None)
            self.told.notify_all()

    def unavailable(self) -> None:
        with self.told:
            self.history.append("unavailable")
            self.told.notify_all()

    def until(self, *history: str) -> None:
        """Wait until this was told last."""
        with self.told:
            found = self.told.wait_for(lambda: self.history[-len(history) :] == list(history), PATIENCE)
            assert found, self.history

    def caught_up(self, server: ApiServer, resource: Resource[Any]) -> None:
        """Wait until it has what the server has."""
        wanted = expected(server, resource)
        with self.told:
            assert self.told.wait_for(lambda: self.objects == wanted, PATIENCE), (self.objects, wanted)


class Pauses(Event):
    """Instead of the event for which a watch waits between two attempts: notes for how long, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.begun = Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        self.begun.set()
        return super().wait(0)


@contextmanager
def following(
    url: str,
    resource: Resource[Any],
    follower: Follower | None = None,
    settings: WatchSettings = HURRIED,
    token: str = TOKEN,
) -> Iterator[tuple[Watch[Any], Follower]]:
    follower = follower or Follower()
    watch = Watch(resource, access(url, token), follower, settings)
    watch.start()
    try:
        yield watch, follower
    finally:
        watch.stop()
