"""Whose connections are ended when there are too many."""

import asyncio
import errno
import select
import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.server import crowding
from backend.server.crowding import Crowding, Open, crowded
from tests.descriptors import open_files
from tests.waiting import PATIENCE


def connections(**held: list[int]) -> list[Open]:
    """By peer: for how long each of its connections has been silent."""
    numbers = iter(range(10_000))
    return [Open(peer, 5, silent, next(numbers)) for peer, silences in held.items() for silent in silences]


def kept(held: list[Open], most: int) -> Counter[str]:
    ended = set(crowded(held, most))
    return Counter(one.peer for one in held if one not in ended)


def test_who_holds_few_loses_none() -> None:
    held = connections(crowd=[5] * 90, other=[9] * 6, one=[100])
    assert kept(held, 50) == {"crowd": 43, "other": 6, "one": 1}


def test_two_crowds_keep_as_many_each() -> None:
    assert kept(connections(a=[1] * 60, b=[1] * 80, c=[1] * 4), 44) == {"a": 20, "b": 20, "c": 4}


def test_the_longest_silent_go_first() -> None:
    ended = crowded(connections(a=[5, 900, 1, 70, 300]), 2)
    assert sorted(one.silent_ms for one in ended) == [70, 300, 900]


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 9), max_size=30), max_size=8), st.integers(0, 100))
def test_as_many_stay_as_may_and_no_peer_loses_to_one_that_keeps_more(held: dict[str, list[int]], most: int) -> None:
    there = connections(**held)
    left = kept(there, most)
    total = Counter(one.peer for one in there)
    assert left.total() <= max(most, 0)
    if total.total() <= most:
        assert left == total
    losers = [peer for peer in total if left[peer] < total[peer]]
    assert all(left[peer] <= left[loser] for loser in losers for peer in total)
    # What dividing leaves over is all that stays unused.
    assert not losers or left.total() > most - len(total)


async def test_when_no_descriptor_is_left_it_looks_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()
    failures = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.EMFILE, "Too many open files")]

    def look() -> None:
        if failures:
            raise failures.pop()
        loop.call_soon_threadsafe(looked.set)

    watch = Crowding([1], 7, Counter())
    monkeypatch.setattr(watch, "look", look)
    monkeypatch.setattr(crowding, "PERIOD", 0.0)
    watching = asyncio.create_task(watch.watch())
    async with asyncio.timeout(PATIENCE):
        await looked.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    (said,) = caplog.records
    assert "raise the limit of open files" in said.getMessage()


def test_real_connections_are_ended_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        pairs = []
        for peer, server in [("127.0.0.2", listener)] * 6 + [("127.0.0.1", listener)] + [("127.0.0.2", elsewhere)] * 3:
            pairs.append((socket.create_connection(server.getsockname(), source_address=(peer, 0)), server.accept()[0]))
        ended: Counter[str] = Counter()
        before = open_files()
        watch = Crowding([listener.getsockname()[1]], 7, ended)
        monkeypatch.setattr(crowding, "ROOMY", 5 / 7)
        watch.look()
        assert ended == {"crowding": 2}
        # Nobody ever sends, so that what can be read is an end.
        waiting = select.poll()
        for client, _ in pairs:
            waiting.register(client, select.POLLIN)
        over: set[int] = set()
        while len(over) < 2:
            over |= {number for number, _ in waiting.poll(60_000)}
        over |= {number for number, _ in waiting.poll(200)}
        assert len(over & {client.fileno() for client, _ in pairs[:6]}) == len(over) == 2
        watch.look()  # there is room now
        assert ended == {"crowding": 2}
        opened = open_files() - before  # threads of other tests may open probes and pipes meanwhile
        assert not [link for _, link in opened if "socket" in link]
        for pair in pairs:
            for end in pair:
                end.close()
