"""A watched cluster over real HTTP: pods that come and go, and everything that happens to connections."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from backend.entities.addresses.cluster import WatchedCluster
from backend.entities.addresses.kubernetes_book import KubernetesBook
from backend.entities.addresses.kubernetes_index import KubernetesIndex
from backend.entities.resolution import End
from common.kubernetes.watch import Restart
from tests.backend.entities.addresses.histories import OBJECTS, Object, answers, from_scratch, key_of
from tests.backend.entities.addresses.world import RESOURCES, STARTED, asking
from tests.common.kubernetes.api_http import Cut
from tests.common.kubernetes.api_server import ApiServer, Gone
from tests.common.kubernetes.following import HURRIED, access, expected
from tests.common.kubernetes.manifests import pod, service
from tests.waiting import PATIENCE

APP = {"app": "shop"}


class Watched:
    """A watched cluster that can be waited for, at a time that stands still until it is moved."""

    def __init__(self, server: ApiServer, url: str) -> None:
        self.now = STARTED + 100
        self.server = server
        self.index = KubernetesIndex(minute=lambda: self.now)
        self.book = KubernetesBook(self.index)
        self.told = threading.Condition()
        self._kinds: dict[str, Any] = {
            "pods": self.index.pods,
            "services": self.index.services,
            "endpointslices": self.index.slices,
            "nodes": self.index.nodes,
        }
        for objects in self._kinds.values():
            for name in ("replace", "apply", "unavailable"):
                setattr(objects, name, self._telling(getattr(objects, name)))
        self.cluster = WatchedCluster(access(url), self.index, HURRIED)

    def caught_up(self) -> None:
        """Wait until the index has what the server has."""
        wanted = {kind: expected(self.server, resource) for kind, resource in RESOURCES.items()}
        with self.told:
            assert self.told.wait_for(lambda: self.index.listed and self._objects() == wanted, PATIENCE)

    def find(self, host: str, port: int, minute: int) -> End | None:
        return self.book.find(host, port, asking(), minute)

    def _objects(self) -> dict[str, dict[tuple[str, str], Any]]:
        return {
            kind: {
                (namespace, name): each
                for namespace, named in objects.by_namespace.items()
                for name, each in named.items()
            }
            for kind, objects in self._kinds.items()
        }

    def _telling(self, call: Any) -> Any:  # noqa: ANN401 - a method of Objects
        def tell(*arguments: Any) -> None:  # noqa: ANN401 - its arguments
            with self.told:
                call(*arguments)
                self.told.notify_all()

        return tell


@contextmanager
def watched(server: ApiServer) -> Iterator[Watched]:
    with server.serving() as url:
        found = Watched(server, url)
        with found.cluster:
            yield found


def started(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_one_address_that_passes_through_many_pods_answers_by_the_minute() -> None:
    server = ApiServer()
    server.put("services", service("shop", "10.96.0.1", selector=APP))
    with watched(server) as world:
        world.caught_up()
        begin = world.now
        for number, how in enumerate([None, *Cut] * 3):
            name = f"pod-{number}"
            server.put("pods", pod(name, "10.0.0.1", labels=APP, started=started(world.now)))
            world.caught_up()
            if how is not None:
                server.cut(how)
            world.now += 1
            server.delete("pods", "default", name)
            world.caught_up()
        found = [world.find("10.0.0.1", 80, begin + number) for number in range(3 * (1 + len(Cut)))]
        assert found == [("shop.default", f"pod-{number}") for number in range(len(found))]
        assert world.find("10.96.0.1", 80, begin) == ("shop.default", "")


def test_pods_that_follow_each_other_in_one_breath_are_all_known_in_the_end_the_last() -> None:
    server = ApiServer()
    server.put("services", service("shop", selector=APP))
    with watched(server) as world:
        world.caught_up()
        server.until(lambda: server.watches("pods"))
        with server.changed:  # so that all of it is sent at once
            for number in range(100):
                server.put("pods", pod(f"pod-{number}", "10.0.0.1", labels=APP, started=started(world.now)))
                if number < 99:
                    server.delete("pods", "default", f"pod-{number}")
        world.caught_up()
        assert world.find("10.0.0.1", 80, world.now) == ("shop.default", "pod-99")
        assert sum(watch.counts.events for watch in world.cluster.watches) == 199


def test_old_answers_stay_until_the_new_list_is_there() -> None:
    server = ApiServer()
    server.put("services", service("shop", "10.96.0.1"))
    with watched(server) as world:
        world.caught_up()
        server.until(lambda: server.watches("services"))
        refusals = 3
        with server.changed:
            server.put("services", service("other", "10.96.0.2"))
            server.forget()
            server.cut_soon(Cut.RESET, "services")
            server.forbidden |= {("list", "services")}
        server.until(lambda: server.answers("services", "list").count(403) >= refusals)
        assert world.find("10.96.0.1", 80, world.now) == ("shop.default", "")
        assert world.find("10.96.0.2", 80, world.now) is None
        server.forbidden.clear()
        world.caught_up()
        assert world.find("10.96.0.2", 80, world.now) == ("other.default", "")
        restarts = world.cluster.watches[1].counts.restarts
        assert restarts[Restart.EXPIRED] == 1
        assert restarts[Restart.REFUSED] >= refusals


def test_a_kind_that_may_not_be_read_does_not_hold_up_the_others() -> None:
    server = ApiServer()
    server.forbidden |= {("list", "nodes"), ("list", "endpointslices")}
    server.put("services", service("shop", "10.96.0.1", selector=APP))
    server.put("pods", pod("a", "10.0.0.1", labels=APP))
    with watched(server) as world:
        with world.told:
            assert world.told.wait_for(lambda: world.index.listed, PATIENCE)
        assert world.find("10.0.0.1", 80, world.now) == ("shop.default", "a")


class ClusterHistories(RuleBasedStateMachine):
    """Any changes and interruptions leave the index as one that is built from what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ApiServer()
        self.stack = ExitStack()
        self.world = self.stack.enter_context(watched(self.server))

    @rule(added=OBJECTS)
    def put(self, added: tuple[str, Object]) -> None:
        self.server.put(*added)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        there = [(kind, *key) for kind in RESOURCES for key in self.server.objects(kind)]
        if there:
            self.server.delete(*data.draw(st.sampled_from(there)))

    @rule(replaced=OBJECTS)
    def delete_and_make_again(self, replaced: tuple[str, Object]) -> None:
        kind, manifest = replaced
        if key_of(manifest) in self.server.objects(kind):
            self.server.delete(kind, *key_of(manifest))
        self.server.put(kind, manifest)

    @rule(how=st.sampled_from(Cut), kind=st.none() | st.sampled_from(sorted(RESOURCES)))
    def interrupt(self, how: Cut, kind: str | None) -> None:
        self.server.cut(how, kind)

    @rule(gone=st.sampled_from(Gone), how=st.sampled_from(Cut))
    def forget_and_interrupt(self, gone: Gone, how: Cut) -> None:
        self.server.gone = gone
        with self.server.changed:
            self.server.forget()
            self.server.cut_soon(how)

    @rule(code=st.sampled_from([429, 500, 503]))
    def refuse(self, code: int) -> None:
        with self.server.changed:
            self.server.refusals.append((code, ""))

    @rule(piece=st.sampled_from([None, 3, 50]))
    def change_the_chunks(self, piece: int | None) -> None:
        self.server.piece = piece

    @rule()
    def bookmark(self) -> None:
        self.server.bookmark()

    @rule()
    def forget_within_a_list(self) -> None:
        self.server.forgets_after_next_list = True

    @rule()
    def compare(self) -> None:
        self.world.caught_up()
        assert answers(self.world.index) == from_scratch({kind: self.server.objects(kind) for kind in RESOURCES})

    def teardown(self) -> None:
        try:
            self.compare()
        finally:
            self.stack.close()


TestClusterHistories: Any = ClusterHistories.TestCase
TestClusterHistories.settings = settings(max_examples=30, stateful_step_count=20)
