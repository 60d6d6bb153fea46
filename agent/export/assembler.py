"""Collects logs until a flush, then makes streams of them: node first, then each connection with its logs."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import LOG, SUPPLEMENT, Logs, Supplements, TrackedLogs
from agent.connections.view import View
from agent.discovery.interfaces import NodeInterfaces
from agent.events.distinct import distinct
from agent.events.layout import EventKind
from agent.events.rows import join, take
from agent.export.arrangement import Arranged, arrange
from agent.export.claims import claim_logs
from agent.export.exchange_rows import ExchangeRows
from agent.export.holding import NOTHING_HELD, Holds
from agent.export.kernel_logs import encode_kernel_logs
from agent.export.protocol_logs import encode_protocol_logs
from agent.export.supplements import settle
from agent.protocols.conversations import Told

STREAM_CONNECTIONS = 10_000
"""Connections per stream at most; as receivers of this wire are used to."""
MESSAGE_LOGS = 20_000
"""Logs per message at most: about 1 MB, well below the 4 MB that gRPC servers accept by default."""
STREAM_LOGS = 100_000
"""Logs per stream at most, so that one delivery that fails repeats a bounded amount."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One stream: serialised messages that are delivered together or not at all."""

    messages: Sequence[bytes]
    logs: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def size(self) -> int:
        """Bytes of all messages."""
        return sum(map(len, self.messages))


_Message = tuple[bytes, int, bool]
"""One message of a stream, the logs in it, of the kernel and of exchanges, and whether it names its connection."""


class Assembler:
    """The logs since the last flush."""

    def __init__(self) -> None:
        self._logs: list[Logs] = []
        self._supplements: list[Supplements] = []
        self._exchanges = ExchangeRows()
        self._views: dict[int, View] = {}
        self.count = 0
        """Logs, of the kernel and of exchanges, that wait for the next flush."""
        self.size = 0
        """Logs, and what else is known of connections, that wait for the next flush; those held back not."""
        self.troubles: Counter[str] = Counter()
        """What went wrong on connections so far, and how often."""

    def append(self, tracked: TrackedLogs) -> None:
        """Take logs on."""
        if len(tracked.logs):
            self._logs.append(tracked.logs)
            self.count += len(tracked.logs)
        if len(tracked.supplements):
            self._supplements.append(tracked.supplements)
        self.size += len(tracked.logs) + len(tracked.supplements)
        self._views.update(tracked.views)

    def tell(self, told: Sequence[Told]) -> None:
        """Take exchanges on."""
        self._exchanges.add(told, self._views)
        self.count += len(told)
        self.size += len(told)

    def flush(
        self,
        node: Callable[[], bytes],
        head: Callable[[View], bytes],
        interfaces: NodeInterfaces,
        reason_name: Callable[[int], str],
        holds: Holds = NOTHING_HELD,
    ) -> Iterator[Batch]:
        """Everything collected, as streams; plain logs of a connection keep their order.

        What is held back stays for the next flush; everything else is gone once the first batch was asked for.

        Args:
            node: Gives the serialised message that begins each stream, once the interfaces that the logs use are known.
            head: Gives a view's serialised connection.
            interfaces: The network interfaces of this node.
            reason_name: What the kernel calls a reason for dropping a package.
            holds: Which logs wait for the exchange that they are part of.
        """
        if not self.count and not self.size:
            return
        logs, supplements = join(self._logs, LOG), join(self._supplements, SUPPLEMENT)
        exchanges, texts, views = self._exchanges.table(), self._exchanges.texts(), self._views
        claims = claim_logs(logs, exchanges)
        held = holds.held(logs, claims, views)
        self._hold(take(logs, np.flatnonzero(held)), views)
        rows = np.flatnonzero(~held)
        rows = rows[np.lexsort((claims[rows], logs["view"][rows]))]
        logs, claims = take(logs, rows), claims[rows]
        late = supplements["kind"] != EventKind.QUALITY
        _number_interfaces(logs, np.ones(len(logs), dtype=np.bool_), views, interfaces)
        _number_interfaces(supplements, late, views, interfaces)
        settled = settle(logs, supplements, reason_name)
        self.troubles.update(settled.troubles)
        kernel_logs = _Encoded(*encode_kernel_logs(logs, settled.losses))
        protocol_logs = _Encoded(*encode_protocol_logs(exchanges, texts))
        connections = arrange(logs["view"], claims, exchanges["view"], settled.quality)
        if connections:
            yield from _streams(node, _messages(connections, views, kernel_logs, protocol_logs, head))

    def _hold(self, logs: Logs, views: Mapping[int, View]) -> None:
        """Begin the next collection with the logs that are held back."""
        self._logs = [logs] if len(logs) else []
        self._views = {number: views[number] for number in distinct(logs["view"]).tolist()}
        self._supplements, self._exchanges, self.count, self.size = [], ExchangeRows(), len(logs), 0


def _number_interfaces(
    rows: Logs | Supplements, chosen: NDArray[np.bool_], views: Mapping[int, View], interfaces: NodeInterfaces
) -> None:
    """Give interfaces their numbers on this node, in the rows that are chosen and name one."""
    index = rows["stages"]["interface"]
    at = np.flatnonzero(chosen & (index != 0))
    if not len(at):
        return
    numbers, inverse = np.unique(rows["view"][at], return_inverse=True)
    namespaces = np.array([views[number].network_namespace for number in numbers.tolist()], dtype=np.uint64)
    pairs = namespaces[inverse] << np.uint64(32) | index[at]
    each, first, pair = np.unique(pairs, return_index=True, return_inverse=True)
    index[at] = np.array(
        [
            interfaces.number(value >> 32, value & 0xFFFFFFFF, views[number].process.pid)
            for value, number in zip(each.tolist(), numbers[inverse[first]].tolist(), strict=True)
        ],
        dtype=np.uint32,
    )[pair]


class _Encoded:
    """Serialised rows, one after the other."""

    __slots__ = ("data", "places")

    def __init__(self, data: memoryview, ends: NDArray[np.int64]) -> None:
        self.data = data
        self.places = [0, *ends.tolist()]
        """Where each row begins, and where the last one ends."""


def _messages(
    connections: list[Arranged],
    views: Mapping[int, View],
    kernel_logs: _Encoded,
    protocol_logs: _Encoded,
    head: Callable[[View], bytes],
) -> Iterator[_Message]:
    """Messages of every connection; logs that are too many for one go on in further ones."""
    told, ends = protocol_logs.data, protocol_logs.places
    logs, places = kernel_logs.data, kernel_logs.places
    for connection in connections:
        prefix = head(views[connection.view])
        if connection.has_plain:
            yield from _parts(prefix, kernel_logs, connection.plain, connection.quality)
            # The receiver goes on with the connection it was told last.
            prefix = b""
        for index, (first, last) in connection.exchanges:
            end = last if last - first <= MESSAGE_LOGS else first + MESSAGE_LOGS
            exchange = told[ends[index] : ends[index + 1]]
            yield b"".join((prefix, logs[places[first] : places[end]], exchange)), end - first + 1, bool(prefix)
            prefix = b""
            if end < last:
                yield from _parts(b"", kernel_logs, (end, last), b"")


def _parts(prefix: bytes, kernel_logs: _Encoded, rows: tuple[int, int], suffix: bytes) -> Iterator[_Message]:
    """Messages with these logs and one suffix."""
    (first, last), data, places = rows, kernel_logs.data, kernel_logs.places
    for start in range(first, last, MESSAGE_LOGS) or (first,):
        end = min(start + MESSAGE_LOGS, last)
        yield b"".join((prefix, data[places[start] : places[end]], suffix)), end - start, bool(prefix)
        prefix, suffix = b"", b""


def _streams(node: Callable[[], bytes], messages: Iterator[_Message]) -> Iterator[Batch]:
    beginning = node()
    stream, logs, opened = [beginning], 0, 0
    for data, logs_in_it, begins in messages:
        if begins and (opened >= STREAM_CONNECTIONS or logs >= STREAM_LOGS):
            yield Batch(stream, logs)
            stream, logs, opened = [beginning], 0, 0
        stream.append(data)
        logs += logs_in_it
        opened += begins
    if len(stream) > 1:
        yield Batch(stream, logs)
