"""A book that follows a strict double of the API server through the lives of pods and services."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.following import following, open_access
from tests.agent.discovery.kubernetes.pods import FIRST, OTHER, SECOND_ID, UID, manifest, uid
from tests.common.kubernetes import manifests
from tests.common.kubernetes.api_http import Cut
from tests.common.kubernetes.api_server import ApiServer
from tests.common.kubernetes.following import HURRIED, access
from tests.waiting import PATIENCE, until


@contextmanager
def followed(server: ApiServer, node: str = "node-1") -> Iterator[PodBook]:
    book = PodBook()
    with server.serving() as url, following(access(url), node, book, HURRIED, seconds=PATIENCE):
        yield book


def name(book: PodBook, container: str, pod_uid: str = "") -> tuple[str, str, str] | None:
    found = book.find([container], pod_uid)
    return found and (found.pod.name, found.container.name if found.container else "", found.service)


def service(of: str) -> dict[str, object]:
    return manifests.service(of, "10.96.0.1", namespace="shop", selector={"app": "cart"})


def test_it_begins_with_everything_that_there_is_on_this_node() -> None:
    server = ApiServer()
    server.put("pods", manifest(labels={"app": "cart"}))
    server.put("pods", manifest("cart-2", {"main": SECOND_ID}, pod_uid=uid(2), node="node-2"))
    server.put("services", service("cart"))
    with followed(server) as book:
        assert book.is_complete
        assert name(book, FIRST) == ("cart-1", "main", "cart")
        assert name(book, SECOND_ID, uid(2)) is None
    assert {asked.query["fieldSelector"] for asked in server.asked if asked.kind == "pods"} == {"spec.nodeName=node-1"}


@pytest.mark.parametrize("cut", [None, *Cut])
def test_the_life_of_a_pod_and_of_its_service(cut: Cut | None) -> None:
    server = ApiServer()
    with followed(server) as book:

        def put(kind: str, wanted: dict[str, object]) -> None:
            if cut is not None:
                server.until(lambda: server.watches(kind) == 1)
                server.cut(cut, kind)
            server.put(kind, wanted)

        put("pods", manifest(containers={"main": ""}, labels={"app": "cart"}))  # scheduled: nothing of it runs
        until(lambda: name(book, FIRST, UID) == ("cart-1", "main", ""))
        put("pods", manifest(labels={"app": "cart"}, init={"setup": SECOND_ID}, containers={"main": ""}))
        until(lambda: name(book, SECOND_ID, UID) == ("cart-1", "setup", ""))
        put("pods", manifest(labels={"app": "cart"}, init={"setup": SECOND_ID}))
        until(lambda: name(book, FIRST) == ("cart-1", "main", ""))
        put("services", service("cart-canary"))
        until(lambda: name(book, FIRST) == ("cart-1", "main", "cart-canary"))
        put("services", service("cart"))
        until(lambda: name(book, FIRST) == ("cart-1", "main", "cart"))
        put("pods", manifest(labels={"app": "cart"}, containers={"main": OTHER}))  # the container was started again
        until(lambda: name(book, OTHER) == ("cart-1", "main", "cart"))
        server.delete("services", "shop", "cart")
        until(lambda: name(book, OTHER) == ("cart-1", "main", "cart-canary"))
        server.delete("pods", "shop", "cart-1")
        until(lambda: name(book, OTHER, UID) is None)


def test_it_begins_too_where_the_server_does_not_answer_and_goes_on_to_ask() -> None:
    server, book = ApiServer(), PodBook()
    server.put("pods", manifest())
    server.refusals = [(503, "")] * 2
    with server.serving() as url, following(access(url), "node-1", book, HURRIED, seconds=0.0):
        until(lambda: book.is_complete)
        assert name(book, FIRST) == ("cart-1", "main", "")


def test_where_services_may_not_be_read_pods_are_known_all_the_same() -> None:
    server = ApiServer()
    server.forbidden.add(("list", "services"))
    server.put("pods", manifest())
    with followed(server) as book:
        assert book.is_complete
        assert name(book, FIRST) == ("cart-1", "main", "")


def test_outside_of_a_cluster_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ValueError, match="this is no pod of a Kubernetes cluster"):
        open_access("")
    with pytest.raises(ValueError, match="cannot be read"):
        open_access("/nonexistent/kubeconfig")
