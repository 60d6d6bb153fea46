"""Exchanges through the whole agent: each with the reads and writes that it was made of, every log exactly once."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import AccessLog, Configuration, Flush
from agent.config_durations import Duration
from agent.events.fragments import Fragment
from agent.events.layout import EventKind, Events
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.holding import HOLD_NS
from agent.pipeline import Pipeline
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.protocols.payload import fragment
from tests.agent.synthetic import SECOND, FakeHost, event, events, released

K = EventKind
SERVER = ("127.0.0.1", 80)
REQUEST = b"GET /path HTTP/1.1\r\nHost: here\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Agent:
    """A pipeline over a host made by hand, and connections whose calls are events and payload at once."""

    def __init__(self, period: float = 5) -> None:
        self.batches: list[Batch] = []
        self.ledger = Ledger()
        configuration = Configuration(access_log=AccessLog(flush=Flush(period=Duration(period))))
        host = FakeHost()
        host.descriptors = {100: {inode: inode for inode in (1, 2, 3)}}  # who looks for idle connections finds them
        self.pipeline = Pipeline(configuration, "node", 999, host=host, ledger=self.ledger, deliver=self.batches.append)
        self.pipeline.start(0)
        self._positions: Counter[tuple[int, EventKind]] = Counter()

    def call(self, kind: EventKind, data: bytes, at: int, inode: int = 1) -> tuple[Events, Fragment]:
        position = self._positions[inode, kind]
        self._positions[inode, kind] += len(data)
        return (
            event(
                kind,
                inode=inode,
                descriptor=inode,
                size=len(data),
                at=at,
                local=SERVER,
                remote=("127.0.0.1", 4000 + inode),
            ),
            fragment(kind, data, at=at, position=position, inode=inode),
        )

    def step(self, calls: Sequence[tuple[Events, Fragment]], now: int) -> None:
        self.pipeline.step(events(*(one for one, _ in calls)), now, [one for _, one in calls])

    def accept(self, now: int, *inodes: int) -> None:
        made = [event(K.ACCEPT, inode=one, at=now, local=SERVER, remote=("127.0.0.1", 4000 + one)) for one in inodes]
        self.pipeline.step(events(*made), now)

    def messages(self) -> list[wire.EBPFAccessLogMessage]:
        found = [wire.EBPFAccessLogMessage.FromString(one) for batch in self.batches for one in batch.messages]
        return [message for message in found if not message.HasField("node")]


def kinds(message: wire.EBPFAccessLogMessage) -> list[str]:
    return [log.WhichOneof("operation") or "" for log in message.kernelLogs]


def starts(message: wire.EBPFAccessLogMessage) -> list[int]:
    return [getattr(log, log.WhichOneof("operation") or "").startTime.offset.offset for log in message.kernelLogs]


def test_an_exchange_travels_with_its_logs_behind_the_plain_ones() -> None:
    agent = Agent()
    agent.accept(SECOND, 1)
    agent.step(
        [
            agent.call(K.READ, REQUEST, SECOND),
            agent.call(K.WRITE, RESPONSE[:5], SECOND + 100),
            agent.call(K.WRITE, RESPONSE[5:], SECOND + 200),
            agent.call(K.READ, b"\r\n", SECOND + 300),
        ],
        2 * SECOND,
    )
    agent.pipeline.flush(2 * SECOND)
    plain, exchange = agent.messages()
    assert plain.connection.protocol == wire.HTTP_1
    assert kinds(plain) == ["accept", "read"]
    assert not plain.HasField("protocolLog")
    assert not exchange.HasField("connection")
    assert kinds(exchange) == ["read", "write", "write"]
    assert exchange.protocolLog.http.request.path == "/path"
    assert agent.batches[0].logs == 6
    assert agent.ledger.balance().captured == 6
    assert agent.pipeline.pending == 0


def test_the_first_message_of_a_connection_names_it_also_when_it_is_an_exchange() -> None:
    agent = Agent()
    agent.step([agent.call(K.READ, REQUEST, SECOND), agent.call(K.WRITE, RESPONSE, SECOND + 100)], 2 * SECOND)
    agent.pipeline.flush(2 * SECOND)
    (message,) = agent.messages()
    assert message.connection.local.kubernetes.port == 80
    assert message.HasField("protocolLog")


def test_logs_wait_for_their_exchange() -> None:
    agent = Agent()
    agent.accept(SECOND, 1)
    agent.step([agent.call(K.READ, REQUEST, SECOND)], 2 * SECOND)
    agent.pipeline.flush(2 * SECOND)
    assert [kinds(message) for message in agent.messages()] == [["accept"]]
    assert agent.pipeline.pending == 1
    agent.step([agent.call(K.WRITE, RESPONSE, 3 * SECOND)], 3 * SECOND)
    agent.pipeline.flush(3 * SECOND)
    assert [kinds(message) for message in agent.messages()] == [["accept"], ["read", "write"]]
    assert agent.pipeline.pending == 0


def test_they_wait_no_longer_than_a_while() -> None:
    agent = Agent()
    agent.step([agent.call(K.READ, REQUEST, SECOND)], SECOND)
    agent.pipeline.flush(SECOND + HOLD_NS)
    assert agent.messages() == []
    agent.pipeline.flush(2 * SECOND + HOLD_NS)
    (late,) = agent.messages()
    assert kinds(late) == ["read"]
    assert not late.HasField("protocolLog")
    agent.step([agent.call(K.WRITE, RESPONSE, 3 * SECOND + HOLD_NS)], 4 * SECOND + HOLD_NS)
    agent.pipeline.flush(4 * SECOND + HOLD_NS)
    assert kinds(agent.messages()[1]) == ["write"]
    assert agent.messages()[1].protocolLog.http.startTime.offset.offset == SECOND + 10


def test_between_two_exchanges_nothing_waits() -> None:
    agent = Agent()
    agent.step([agent.call(K.READ, REQUEST, SECOND), agent.call(K.WRITE, RESPONSE, SECOND + 100)], 2 * SECOND)
    agent.step([agent.call(K.READ, b"\r\n", 2 * SECOND)], 2 * SECOND)
    agent.pipeline.flush(3 * SECOND)
    assert agent.pipeline.pending == 0


def test_at_the_end_nothing_waits() -> None:
    agent = Agent()
    agent.step([agent.call(K.READ, REQUEST, SECOND)], SECOND)
    agent.pipeline.finish(SECOND)
    assert [kinds(message) for message in agent.messages()] == [["read"]]
    assert agent.pipeline.pending == 0


@settings(deadline=None, max_examples=40)
@given(
    exchanges=st.lists(st.tuples(st.integers(1, 3), st.integers(9, 40), st.integers(9, 40)), max_size=6),
    flushes=st.sets(st.integers(0, 30)),
    pause=st.sampled_from([SECOND // 10, SECOND, 6 * SECOND]),
)
def test_every_log_and_every_exchange_travels_exactly_once(
    exchanges: list[tuple[int, int, int]], flushes: set[int], pause: int
) -> None:
    """(connection, how the request is cut, how the response is cut) each, one call and maybe a flush at a time."""
    agent = Agent(period=1_000_000)
    now, turn, wanted = SECOND, 0, []
    for inode, request_cut, response_cut in exchanges:
        for kind, data, cut in ((K.READ, REQUEST, request_cut), (K.WRITE, RESPONSE, response_cut)):
            for first in range(0, len(data), cut):
                now += pause
                agent.step([agent.call(kind, data[first : first + cut], now, inode)], now)
                wanted.append(now)
                if turn in flushes:
                    agent.pipeline.flush(now)
                turn += 1
    agent.pipeline.step(events(*(released(inode=inode, at=now + 1) for inode in (1, 2, 3))), now + 1)
    agent.pipeline.finish(now + 1)
    messages = agent.messages()
    assert sorted(start for message in messages for start in starts(message) if start <= now) == wanted
    assert sum(message.HasField("protocolLog") for message in messages) == len(exchanges)
    assert sum(batch.logs for batch in agent.batches) == agent.ledger.balance().captured
    for message in messages:
        http = message.protocolLog.http
        if message.HasField("protocolLog"):
            begin, end = http.startTime.offset.offset - 10, http.endTime.offset.offset
            assert all(begin <= start <= end for start in starts(message))
