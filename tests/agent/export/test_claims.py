"""Which logs travel with which exchange, against a loop that looks at each log and each exchange."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from agent.connections.logs import LOG, Logs
from agent.connections.view import View
from agent.events.layout import EventKind
from agent.export.claims import UNCLAIMED
from agent.export.claims import claim_logs as claims_of
from agent.export.exchange_rows import ExchangeRows
from agent.protocols.conversations import Told
from agent.protocols.exchange import Exchange, Half, Version
from tests.agent.synthetic import World, event

K = EventKind


def views(count: int) -> list[View]:
    world = World()
    tracked = world.track(*(event(K.ACCEPT, inode=1 + number, local=("127.0.0.1", 80)) for number in range(count)))
    return list(tracked.views.values())


VIEWS = views(3)


def claim_logs(logs: Logs, exchanges: list[Told]) -> NDArray[np.int64]:
    rows = ExchangeRows()
    rows.add(exchanges, {})
    return claims_of(logs, rows.table())


def logs_of(*rows: tuple[int, EventKind, int]) -> Logs:
    """(number of the view in VIEWS, kind, start) each."""
    logs = np.zeros(len(rows), dtype=LOG)
    for at, (view, kind, start) in enumerate(rows):
        logs[at]["view"], logs[at]["kind"], logs[at]["start_ns"] = VIEWS[view].number, kind, start
        logs[at]["end_ns"] = start + 1
    return logs


def half(first: int, last: int) -> Half:
    return Half(first_ns=first + 1, last_ns=last, first_call_ns=first, last_call_ns=last)


def told(view: int, request: Half, response: Half, requests: EventKind = K.READ, *, is_tls: bool = False) -> Told:
    exchange = Exchange(Version.HTTP1, request=request, response=response)
    return Told(VIEWS[view], exchange, requests, is_tls=is_tls)


def test_reads_go_with_the_request_and_writes_with_the_response_of_a_server() -> None:
    logs = logs_of((0, K.READ, 10), (0, K.WRITE, 20), (0, K.READ, 30), (0, K.WRITE, 40), (0, K.CLOSE, 50))
    one, two = told(0, half(10, 11), half(20, 21)), told(0, half(30, 31), half(40, 41))
    assert claim_logs(logs, [one, two]).tolist() == [0, 0, 1, 1, UNCLAIMED]


def test_of_a_client_it_is_the_other_way_round() -> None:
    logs = logs_of((0, K.WRITE, 10), (0, K.READ, 20))
    assert claim_logs(logs, [told(0, half(10, 11), half(20, 21), K.WRITE)]).tolist() == [0, 0]
    assert claim_logs(logs, [told(0, half(10, 11), half(20, 21), K.READ)]).tolist() == [UNCLAIMED, UNCLAIMED]


def test_what_two_may_claim_travels_with_the_one_that_was_told_first() -> None:
    logs = logs_of((0, K.READ, 10), (0, K.READ, 15), (0, K.READ, 20))
    assert claim_logs(logs, [told(0, half(10, 16), Half()), told(0, half(12, 21), Half())]).tolist() == [0, 0, 1]


def test_calls_of_a_tls_library_claim_the_system_calls_within_them() -> None:
    logs = logs_of((0, K.READ, 5), (0, K.READ, 12), (0, K.WRITE, 31), (0, K.WRITE, 41), (0, K.WRITE, 50))
    # SSL_read from 10 to 15; SSL_write from 30 to 35 and from 40 to 45
    read, wrote = Half(15, 15, 10, 10), Half(30, 45, 30, 40)
    assert claim_logs(logs, [told(0, read, wrote, is_tls=True)]).tolist() == [UNCLAIMED, 0, 0, 0, UNCLAIMED]


def test_calls_of_a_tls_library_that_is_given_bytes_claim_the_system_calls_beside_them() -> None:
    logs = logs_of(
        (0, K.READ, 5), (0, K.READ, 8), (0, K.WRITE, 36), (0, K.WRITE, 46), (0, K.WRITE, 50), (1, K.WRITE, 51)
    )
    read, wrote = Half(15, 15, 10, 10), Half(30, 45, 30, 40)
    assert claim_logs(logs, [told(0, read, wrote, is_tls=True)]).tolist() == [UNCLAIMED, 0, 0, 0, UNCLAIMED, UNCLAIMED]
    assert claim_logs(logs[:3], [told(0, read, wrote, is_tls=True)]).tolist() == [UNCLAIMED, 0, 0]
    assert claim_logs(logs[-1:], [told(0, read, wrote, is_tls=True)]).tolist() == [UNCLAIMED]


def test_a_half_without_bytes_claims_nothing() -> None:
    assert claim_logs(logs_of((0, K.WRITE, 0)), [told(0, half(10, 11), Half())]).tolist() == [UNCLAIMED]


def test_nothing_of_nothing() -> None:
    assert claim_logs(logs_of(), [told(0, half(1, 2), half(3, 4))]).tolist() == []
    assert claim_logs(logs_of((0, K.READ, 1)), []).tolist() == [UNCLAIMED]


def one_by_one(logs: Logs, exchanges: list[Told]) -> list[int]:
    claims = [UNCLAIMED] * len(logs)
    for index, item in enumerate(exchanges):
        for row in claimed_by(logs, item):
            if claims[row] == UNCLAIMED:
                claims[row] = index
    return claims


def claimed_by(logs: Logs, item: Told) -> Iterator[int]:
    for kind in (K.READ, K.WRITE):
        side = item.exchange.request if item.requests == kind else item.exchange.response
        rows = [row for row, log in enumerate(logs) if log["view"] == item.view.number and log["kind"] == kind]
        starts = {row: int(logs[row]["start_ns"]) for row in rows}
        if not side.first_ns:
            continue
        yield from (row for row in rows if side.first_call_ns <= starts[row] <= side.last_ns)
        if (
            item.is_tls
            and kind == K.READ
            and not any(side.first_call_ns <= starts[row] <= side.first_ns for row in rows)
        ):
            before = [row for row in rows if starts[row] < side.first_call_ns]
            yield from sorted(before, key=lambda row: (starts[row], row))[-1:]
        if (
            item.is_tls
            and kind == K.WRITE
            and not any(side.last_call_ns <= starts[row] <= side.last_ns for row in rows)
        ):
            behind = [row for row in rows if starts[row] > side.last_ns]
            yield from sorted(behind, key=lambda row: (starts[row], row))[:1]


def drawn_out(item: Told, apart: int) -> Told:
    """An exchange with more time between everything in it."""
    times = ("first_ns", "last_ns", "first_call_ns", "last_call_ns")
    sides = {
        name: replace(side, **{time: getattr(side, time) * apart for time in times})
        for name, side in (("request", item.exchange.request), ("response", item.exchange.response))
    }
    return replace(item, exchange=replace(item.exchange, **sides))


TIMES = st.integers(1, 40)
TRANSFERS = st.sampled_from([K.READ, K.WRITE])
SIDES = st.one_of(st.builds(Half), st.builds(lambda at, length: half(at, at + length), TIMES, st.integers(0, 9)))


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([K.READ, K.WRITE, K.CLOSE]), TIMES), max_size=20),
    exchanges=st.lists(st.builds(told, st.integers(0, 2), SIDES, SIDES, TRANSFERS, is_tls=st.booleans()), max_size=9),
    apart=st.sampled_from([1, 1 << 30, 1 << 57]),
)
def test_claims_are_those_of_a_loop(rows: list[tuple[int, EventKind, int]], exchanges: list[Told], apart: int) -> None:
    logs = logs_of(*((view, kind, start * apart) for view, kind, start in rows))
    exchanges = [drawn_out(item, apart) for item in exchanges]
    assert claim_logs(logs, exchanges).tolist() == one_by_one(logs, exchanges)
