"""What goes wrong between a watch and its server, and what the watch does about it."""

import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kubernetes.answers import RefusedError, UnreadableError
from common.kubernetes.resources import NODES, PODS
from common.kubernetes.subscriber import Change
from common.kubernetes.watch import Restart, Watch, WatchSettings
from tests.common.kubernetes.api_server import ApiServer
from tests.common.kubernetes.following import HURRIED, Follower, Pauses, access, following
from tests.common.kubernetes.manifests import node, pod
from tests.waiting import PATIENCE


def test_who_may_not_read_is_told_what_to_grant_and_reads_when_it_is_granted(caplog: pytest.LogCaptureFixture) -> None:
    server = ApiServer()
    server.forbidden |= {("list", "pods")}
    server.put("pods", pod("a", "10.0.0.1"))
    with caplog.at_level(logging.WARNING), server.serving() as url, following(url, PODS) as (watch, follower):
        follower.until("unavailable", "unavailable")
        assert 'User "tester" cannot list resource "pods"' in watch.counts.trouble
        server.forbidden.clear()
        follower.until("list a")
        server.until(lambda: server.watches("pods"))
        server.put("pods", pod("b", "10.0.0.2"))
        follower.until("+b")
        assert watch.counts.trouble == ""
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1  # however often it was tried
    assert 'give the account a ClusterRole with list and watch of pods (apiGroups: [""])' in said[0]


def test_a_bad_token_is_tried_again_with_the_one_that_replaces_it(caplog: pytest.LogCaptureFixture) -> None:
    server = ApiServer()
    token = ["old"]
    server.put("pods", pod("a", "10.0.0.1"))
    with server.serving() as url:
        follower = Follower()
        rotated = replace(access(url), authorization=lambda: f"Bearer {token[0]}")
        watch = Watch(PODS, rotated, follower, HURRIED)
        watch.start()
        server.until(lambda: 401 in server.answers("pods", "list"))
        token[0] = "a-token"
        follower.until("list a")
        watch.stop()
    assert watch.counts.restarts[Restart.REFUSED] >= 1
    assert "the token or certificate is not, or no longer, accepted" in caplog.text


def test_the_server_says_how_long_to_wait() -> None:
    server = ApiServer()
    server.refusals.append((429, "7"))
    pauses = Pauses()
    with server.serving() as url:
        follower = Follower()
        watch = Watch(PODS, access(url), follower, WatchSettings(first_wait=0.001, longest_wait=5.0))
        watch._ending = pauses
        watch.start()
        follower.until("list")
        watch.stop()
    assert pauses.seconds[0] == 5.0  # what was asked for, within the bound
    assert server.answers("pods", "list")[:2] == [429, 200]


def test_watches_that_end_at_once_are_not_asked_for_without_pause() -> None:
    server = ApiServer()
    server.watches_end_at_once = True
    pauses = Pauses()
    with server.serving() as url:
        watch = Watch(NODES, access(url), Follower(), WatchSettings(first_wait=60.0, longest_wait=60.0))
        watch._ending = pauses
        watch.start()
        server.until(lambda: len(server.answers("nodes", "watch")) >= 5)
        watch.stop()
    assert len(pauses.seconds) >= 4
    assert max(pauses.seconds) <= 60.0
    assert server.answers("nodes", "list") == [200]


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"not JSON", Restart.UNREADABLE),
        (b'{"type":"\xff"}', Restart.UNREADABLE),
        (b'{"type":"SURPRISE","object":{"metadata":{"resourceVersion":"1000"}}}', Restart.UNREADABLE),
        (b'{"type":"ADDED","object":{"metadata":{"name":"x"}}}', Restart.UNREADABLE),
        (b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd is away"}}', Restart.REFUSED),
        (b'{"type":"ERROR","object":{"kind":"Status","code":410}}', Restart.EXPIRED),
        (b'{"type":"ERROR","object":7}', Restart.REFUSED),
        (b"x" * 200_000, Restart.UNREADABLE),
    ],
)
def test_what_cannot_be_read_is_counted_and_begun_again(line: bytes, cause: Restart) -> None:
    server = ApiServer()
    settings = replace(HURRIED, longest_line=100_000)
    with server.serving() as url, following(url, NODES, settings=settings) as (watch, follower):
        server.until(lambda: server.watches("nodes"))
        server.inject(line)
        server.until(lambda: len(server.answers("nodes", "watch")) == 2)
        server.put("nodes", node("one", "192.0.2.1"))
        follower.caught_up(server, NODES)
        assert watch.counts.restarts == {cause: 1}
    listed_again = cause is not Restart.REFUSED
    assert len(server.answers("nodes", "list")) == 1 + listed_again


_EVENT = b'{"type":"ADDED","object":{"metadata":{"name":"n","resourceVersion":"7","labels":null}}}'


@given(st.lists(st.binary(max_size=20) | st.tuples(st.integers(0, len(_EVENT)), st.binary(max_size=3)), max_size=4))
def test_whatever_is_sent_is_read_or_refused(lines: list[bytes | tuple[int, bytes]]) -> None:
    follower = Follower()
    watch = Watch(NODES, access("http://127.0.0.1:1"), follower, HURRIED)
    sent = [
        line if isinstance(line, bytes) else _EVENT[: line[0]] + line[1] + _EVENT[line[0] + len(line[1]) :]
        for line in lines
    ]
    with suppress(UnreadableError, RefusedError):
        watch._told(sent)
    assert len(follower.history) + watch.counts.unreadable_objects <= len(sent)


def test_an_object_that_is_none_is_left_out_and_counted() -> None:
    server = ApiServer()
    server.put("nodes", {"metadata": {"name": "strange"}, "status": {"addresses": "none of your business"}})
    server.put("nodes", node("one", "192.0.2.1"))
    with server.serving() as url, following(url, NODES) as (watch, follower):
        follower.until("list one")
        server.until(lambda: server.watches("nodes"))
        server.put("nodes", {"metadata": {"name": "strange"}, "status": {"addresses": 3}})
        server.put("nodes", node("two", "192.0.2.2"))
        follower.until("+two")
        assert watch.counts.unreadable_objects == 2
        assert not watch.counts.restarts


def test_more_objects_than_there_is_room_for_are_counted() -> None:
    server = ApiServer()
    for number in range(5):
        server.put("nodes", node(f"n{number}", f"192.0.2.{number}"))
    settings = replace(HURRIED, page=2, objects=3)
    with server.serving() as url, following(url, NODES, settings=settings) as (watch, follower):
        follower.until("list n0 n1 n2")
        server.until(lambda: server.watches("nodes"))
        assert watch.counts.objects_without_room == 2


def test_a_page_beyond_its_bound_is_not_taken() -> None:
    server = ApiServer()
    server.put("nodes", node("one" * 50, "192.0.2.1"))
    with (
        server.serving() as url,
        following(url, NODES, settings=replace(HURRIED, largest_page=200)) as (watch, follower),
    ):
        server.until(lambda: len(server.answers("nodes", "list")) >= 3)
        assert watch.counts.restarts[Restart.UNREADABLE] >= 2
        assert watch.counts.trouble == "an answer of more than 200 bytes"
        assert follower.history == []


def test_a_mistake_of_the_subscriber_is_told_and_everything_listed_again(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Follower):
        fails = 2

        def apply(self, changes: Sequence[Change[Any]]) -> None:
            if self.fails:
                self.fails -= 1
                raise RuntimeError("a mistake")
            super().apply(changes)

    server = ApiServer()
    with server.serving() as url, following(url, NODES, Failing()) as (watch, follower):
        for number in range(3):
            server.until(lambda: server.watches("nodes"))
            server.put("nodes", node(f"n{number}", f"192.0.2.{number}"))
            follower.caught_up(server, NODES)
        assert watch.counts.restarts[Restart.FAILED] == 2
    assert "RuntimeError: a mistake" in caplog.text


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    server = ApiServer()
    server.put("nodes", node("one", "192.0.2.1"))
    with server.serving() as url:
        pass
    follower = Follower()
    watch = Watch(NODES, access(url), follower, HURRIED)
    watch.start()
    port = int(url.rpartition(":")[2])
    later = ApiServer()
    later.put("nodes", node("two", "192.0.2.2"))
    with later.serving(port=port):
        follower.until("list two")
        watch.stop()


def test_a_server_that_says_nothing_is_given_up_and_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = WatchSettings(first_wait=60.0, longest_wait=60.0, list_seconds=0.05)
        watch = Watch(NODES, access(f"http://127.0.0.1:{silent.getsockname()[1]}"), Follower(), settings)
        watch._ending = pauses = Pauses()
        watch.start()
        for _ in range(2):
            connected, _ = silent.accept()
            with connected:
                assert pauses.begun.wait(PATIENCE)
        watch.stop()
    assert watch.counts.restarts[Restart.DISCONNECTED] >= 1
    assert set(watch.counts.restarts) == {Restart.DISCONNECTED}
