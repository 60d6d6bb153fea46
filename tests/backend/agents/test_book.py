"""backend/agents/book.py: who is kept, what of each, and that every bound counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agents.book import CURRENT, FORGOTTEN_AFTER, LARGEST_REPORT, LONGEST_NAME, SILENT_AFTER, AgentBook
from backend.ingest.batch import Node
from protos.ebpf.accesslog_pb2 import PyroverAgentReport
from tests.backend.agents.reports import serialised
from tests.clock import Clock

A, B, C = (Node(name, "", 0, {}) for name in "abc")


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


def names(book: AgentBook) -> list[tuple[str, str]]:
    return [(agent.cluster, agent.node) for agent in book.agents()]


def test_the_last_report_of_each_is_kept(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(B, serialised(100, 1))
    clock.now += 30
    book.hear(A, None)
    book.hear(B, serialised(130, 2))
    clock.now += 5
    book.hear(B, None)
    first, second = book.agents()
    assert (first.node, first.report, first.first_heard, first.last_heard) == ("a", None, 1_000_030.0, 1_000_030.0)
    assert (second.node, second.first_heard, second.last_heard) == ("b", 1_000_000.0, 1_000_035.0)
    assert second.report is not None
    assert second.before is not None
    assert (second.report.told, second.before.told) == (130.0, 100.0)
    assert (book.heard, book.lost, book.forgotten) == (4, {}, 0)


def test_nodes_of_one_name_in_two_clusters_are_two(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    for cluster in ("y", "x", "y"):
        book.hear(Node("n", cluster, 0, {}), None)
    assert names(book) == [("x", "n"), ("y", "n")]


def test_silence(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(A, None)
    (agent,) = book.agents()
    assert not agent.is_silent(clock.now + SILENT_AFTER - 1)
    assert agent.is_silent(clock.now + SILENT_AFTER)


P, Q = ("127.0.0.1", 1), ("127.0.0.1", 2)


def last_heard(book: AgentBook) -> dict[str, float]:
    return {agent.node: agent.last_heard for agent in book.agents()}


def test_who_asks_by_the_connection_of_its_streams_is_there_without_logs(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(A, None, P)
    book.hear(B, None, Q)
    clock.now += SILENT_AFTER
    book.alive(P)
    book.alive(("127.0.0.1", 3))
    assert last_heard(book) == {"a": clock.now, "b": clock.now - SILENT_AFTER}
    first, second = book.agents()
    assert (first.is_silent(clock.now), second.is_silent(clock.now)) == (False, True)
    # It is forgotten by when it was there last, too.
    clock.now += FORGOTTEN_AFTER - SILENT_AFTER
    assert names(book) == [("", "a")]
    book.alive(Q)
    assert names(book) == [("", "a")]


def test_who_tells_of_itself_is_not_there_by_asking_alone(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(A, serialised(100, 1), P)
    clock.now += SILENT_AFTER
    book.alive(P)
    assert last_heard(book) == {"a": clock.now - SILENT_AFTER}


def test_a_connection_of_several_agents_says_nothing_of_one(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    for node in (A, B, A):
        book.hear(node, None, P)
    book.hear(A, None, Q)
    clock.now += 10
    book.alive(P)
    assert set(last_heard(book).values()) == {clock.now - 10}
    book.alive(Q)
    assert last_heard(book) == {"a": clock.now, "b": clock.now - 10}


def test_no_more_connections_are_known_than_agents_may_be(clock: Clock) -> None:
    book = AgentBook(maximum=4, clock=clock)
    for port in range(100):
        book.hear(A, None, ("127.0.0.1", port))
    clock.now += 10
    book.alive(("127.0.0.1", 0))
    assert last_heard(book) == {"a": clock.now - 10}
    book.alive(("127.0.0.1", 99))
    assert last_heard(book) == {"a": clock.now}
    assert len(book._by_peer) <= 4


def test_one_that_was_silent_for_an_hour_is_forgotten(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(A, serialised(1))
    clock.now += 1
    book.hear(B, serialised(1))
    clock.now += FORGOTTEN_AFTER - 2
    book.hear(A, None)  # it speaks again, just in time
    clock.now += 2
    assert names(book) == [("", "a")]
    assert book.forgotten == 1
    book.hear(B, None)
    assert [agent.report for agent in book.agents() if agent.node == "b"] == [None]


def test_who_has_no_room_is_counted_until_another_is_forgotten(clock: Clock) -> None:
    book = AgentBook(maximum=2, clock=clock)
    for node in (A, B, C, C, A):
        book.hear(node, serialised(1))
    assert names(book) == [("", "a"), ("", "b")]
    assert book.lost == {"full": 2}
    clock.now += FORGOTTEN_AFTER
    book.hear(C, None)
    assert names(book) == [("", "c")]
    assert (book.forgotten, book.lost["full"]) == (2, 2)


def test_reports_share_a_number_of_bytes(clock: Clock) -> None:
    size = len(serialised(100))
    book = AgentBook(maximum_bytes=2 * size, clock=clock)
    for node in (A, B, C):
        book.hear(node, serialised(100))
    assert [agent.report is not None for agent in book.agents()] == [True, True, False]
    assert book.lost == {"report_full": 1}
    book.hear(A, serialised(120))  # takes the place of the one before
    assert [agent.report.told for agent in book.agents() if agent.report] == [120.0, 100.0]
    clock.now += FORGOTTEN_AFTER
    book.hear(C, serialised(127))  # and there is room when others are forgotten
    assert [agent.report is not None for agent in book.agents()] == [True]
    assert book.lost == {"report_full": 1}


def test_a_report_that_is_too_large_is_left_out(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    edge = PyroverAgentReport(version="x" * (LARGEST_REPORT - 4))
    assert edge.ByteSize() == LARGEST_REPORT
    book.hear(A, edge.SerializeToString())
    book.hear(B, edge.SerializeToString() + b"\x1a\x00")
    assert [agent.report is not None for agent in book.agents()] == [True, False]
    assert book.lost == {"report_large": 1}


def test_a_report_that_was_overtaken_is_left_out_but_not_for_ever(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(A, serialised(130))
    book.hear(A, serialised(100))
    (agent,) = book.agents()
    assert agent.report is not None
    assert agent.report.told == 130
    assert book.lost == {"report_outdated": 1}
    clock.now += CURRENT  # the node's clock was set back
    book.hear(A, serialised(100))
    assert agent.report.told == 100


def test_names_are_cut(clock: Clock) -> None:
    book = AgentBook(clock=clock)
    book.hear(Node("n" * 1_000, "c" * 1_000, 0, {}), None)
    assert names(book) == [("c" * LONGEST_NAME, "n" * LONGEST_NAME)]


STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 50), st.sampled_from([1, 1_000, FORGOTTEN_AFTER])))


@given(STEPS)
def test_bounds_hold_whatever_comes(steps: list[tuple[str, int, float]]) -> None:
    clock = Clock(1_000_000.0)
    size = len(serialised(100, 1))
    book = AgentBook(maximum=3, maximum_bytes=2 * size + 5, clock=clock)
    newest: dict[str, float] = {}
    for name, lost, pause in steps:
        clock.now += pause
        book.hear(Node(name, "", 0, {}), serialised(100, lost) if lost else None)
        newest[name] = clock.now
        kept = book.agents()
        assert len(kept) <= 3
        assert sum(agent.size for agent in kept) <= 2 * size + 5
        assert all(agent.last_heard == newest[agent.node] for agent in kept)
        assert all(clock.now - agent.last_heard < FORGOTTEN_AFTER for agent in kept)
        assert book._bytes == sum(agent.size for agent in kept)  # a drift would show only much later
    assert book.heard == len(steps)
