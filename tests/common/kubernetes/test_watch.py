"""Lists that are kept up to date, over whatever happens to the connection."""

from dataclasses import replace

import pytest

from common.kubernetes.resources import NODES, PODS, SERVICES
from common.kubernetes.watch import Restart, Watch
from tests.common.kubernetes.api_http import Cut
from tests.common.kubernetes.api_server import ApiServer, Gone
from tests.common.kubernetes.following import HURRIED, Follower, access, following
from tests.common.kubernetes.manifests import node, pod, service


def names(follower: Follower) -> list[str]:
    return sorted(name for _, name in follower.objects)


def test_what_is_there_is_listed_and_what_changes_is_told() -> None:
    server = ApiServer()
    server.put("pods", pod("a", "10.0.0.1"))
    with server.serving() as url, following(url, PODS) as (watch, follower):
        server.until(lambda: server.watches("pods"))
        server.put("pods", pod("b", "10.0.0.2"))
        server.put("pods", pod("a", "10.0.0.3"))
        server.delete("pods", "default", "b")
        follower.until("list a", "+b", "+a", "-b")
        assert follower.objects["default", "a"].addresses == (bytes([10, 0, 0, 3]),)
        assert (watch.counts.lists, watch.counts.events) == (1, 3)
    assert server.answers("pods", "list") == [200]


def test_a_list_is_read_in_pages_of_one_version() -> None:
    server = ApiServer()
    for number in range(7):
        server.put("services", service(f"s{number}", f"10.96.0.{number}"))
    with server.serving() as url, following(url, SERVICES, settings=replace(HURRIED, page=3)) as (_, follower):
        follower.until("list s0 s1 s2 s3 s4 s5 s6")
        server.until(lambda: server.watches("services"))
        lists = [asked.query for asked in server.asked if not asked.is_watch]
        assert [(query["limit"], "continue" in query) for query in lists] == [("3", False), ("3", True), ("3", True)]


def test_an_object_that_no_longer_fits_the_selector_is_gone() -> None:
    server = ApiServer()
    server.put("pods", pod("done", "10.0.0.1", phase="Succeeded"))
    server.put("pods", pod("runs", "10.0.0.2"))
    with server.serving() as url, following(url, PODS) as (_, follower):
        server.until(lambda: server.watches("pods"))
        server.put("pods", pod("runs", "10.0.0.2", phase="Failed"))
        follower.until("list runs", "-runs")


@pytest.mark.parametrize("how", Cut)
def test_after_an_interruption_the_watch_goes_on_where_it_was(how: Cut) -> None:
    server = ApiServer()
    with server.serving() as url, following(url, NODES) as (watch, follower):
        server.until(lambda: server.watches("nodes"))
        server.put("nodes", node("one", "192.0.2.1"))
        follower.until("+one")
        server.cut(how)
        server.put("nodes", node("two", "192.0.2.2"))
        follower.until("list", "+one", "+two")
        cause = Restart.ENDED if how is Cut.TIME_IS_OVER else Restart.DISCONNECTED
        assert set(watch.counts.restarts) == {cause}
    assert server.answers("nodes", "list") == [200]


@pytest.mark.parametrize("gone", Gone)
def test_a_version_that_is_no_longer_kept_is_listed_again(gone: Gone) -> None:
    server = ApiServer()
    server.gone = gone
    server.put("nodes", node("one", "192.0.2.1"))
    with server.serving() as url, following(url, NODES) as (watch, follower):
        server.until(lambda: server.watches("nodes"))
        with server.changed:
            server.delete("nodes", "", "one")
            server.put("nodes", node("two", "192.0.2.2"))
            server.forget()
            server.cut_soon(Cut.BETWEEN_LINES)
        follower.caught_up(server, NODES)
        server.until(lambda: len(server.answers("nodes", "list")) == 2)
        assert names(follower) == ["two"]
        assert watch.counts.restarts[Restart.EXPIRED] == 1


def test_a_bookmark_saves_a_list_when_nothing_else_was_told() -> None:
    server = ApiServer()
    with server.serving() as url, following(url, NODES) as (watch, follower):
        server.until(lambda: server.watches("nodes"))
        server.put("pods", pod("of-another-kind", "10.0.0.1"))
        server.forget()
        server.bookmark()
        server.cut(Cut.BETWEEN_LINES)
        server.put("nodes", node("one", "192.0.2.1"))
        follower.until("list", "+one")
        assert watch.counts.bookmarks == 1
        assert watch.counts.restarts[Restart.EXPIRED] == 0
    assert server.answers("nodes", "list") == [200]


def test_a_page_whose_version_is_gone_begins_the_list_again_with_larger_pages() -> None:
    server = ApiServer()
    for number in range(4):
        server.put("nodes", node(f"n{number}", f"192.0.2.{number}"))
    server.forgets_after_next_list = True
    with server.serving() as url, following(url, NODES, settings=replace(HURRIED, page=1)) as (_, follower):
        follower.until("list n0 n1 n2 n3")
        limits = [asked.query["limit"] for asked in server.asked if not asked.is_watch]
        assert limits == ["1", "1", "8"]
    assert server.answers("nodes", "list") == [200, 410, 200]


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_events_are_read_whatever_the_chunks_are(piece: int) -> None:
    server = ApiServer()
    server.piece = piece
    with server.serving() as url, following(url, NODES) as (_, follower):
        server.until(lambda: server.watches("nodes"))
        for number in range(5):
            server.put("nodes", node(f"n{number}", f"192.0.2.{number}"))
        follower.until("list", *(f"+n{number}" for number in range(5)))


def test_stopping_ends_a_watch_in_the_middle_of_its_silence() -> None:
    server = ApiServer()
    with server.serving() as url, following(url, NODES) as (watch, _):
        server.until(lambda: server.watches("nodes"))
        watch.stop()
        assert not watch._thread.is_alive()
        assert not watch.counts.restarts


def test_a_watch_that_never_started_stops() -> None:
    Watch(NODES, access("http://127.0.0.1:1"), Follower(), HURRIED).stop()
