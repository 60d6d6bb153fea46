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
from agent.events.layout import EventKind
from agent.events.rows import join, take
from agent.export.kernel_logs import encode_kernel_logs
from agent.export.supplements import settle

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


class Assembler:
    """The logs since the last flush."""

    def __init__(self) -> None:
        self._logs: list[Logs] = []
        self._supplements: list[Supplements] = []
        self._views: dict[int, View] = {}
        self.count = 0
        """Logs that wait for the next flush."""
        self.size = 0
        """Logs, and what else is known of connections, that wait for the next flush."""
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

    def flush(
        self,
        node: Callable[[], bytes],
        head: Callable[[View], bytes],
        interfaces: NodeInterfaces,
        reason_name: Callable[[int], str],
    ) -> Iterator[Batch]:
        """Everything collected, as streams; logs of a connection keep their order.

        The collection is empty once the first batch was asked for.

        Args:
            node: Gives the serialised message that begins each stream, once the interfaces that the logs use are known.
            head: Gives a view's serialised connection.
            interfaces: The network interfaces of this node.
            reason_name: What the kernel calls a reason for dropping a package.
        """
        if not self.size:
            return
        logs, supplements = join(self._logs, LOG), join(self._supplements, SUPPLEMENT)
        views = self._views
        self._logs, self._supplements, self._views, self.count, self.size = [], [], {}, 0, 0
        logs = take(logs, np.argsort(logs["view"], kind="stable"))
        late = supplements["kind"] != EventKind.QUALITY
        _number_interfaces(logs, np.ones(len(logs), dtype=np.bool_), views, interfaces)
        _number_interfaces(supplements, late, views, interfaces)
        settled = settle(logs, supplements, reason_name)
        self.troubles.update(settled.troubles)
        encoded, ends = encode_kernel_logs(logs, settled.losses)
        numbers = np.unique(np.concatenate([logs["view"], np.array(list(settled.quality), dtype=np.int64)]))
        bounds = np.searchsorted(logs["view"], np.append(numbers, np.iinfo(np.int64).max))
        yield from _streams(
            node,
            _connections(
                [(views[number], settled.quality.get(number, b"")) for number in numbers.tolist()],
                bounds.tolist(),
                ends.tolist(),
                encoded,
                head,
            ),
        )


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
    distinct, first, pair = np.unique(pairs, return_index=True, return_inverse=True)
    index[at] = np.array(
        [
            interfaces.number(value >> 32, value & 0xFFFFFFFF, views[number].process.pid)
            for value, number in zip(distinct.tolist(), numbers[inverse[first]].tolist(), strict=True)
        ],
        dtype=np.uint32,
    )[pair]


def _connections(
    connections: list[tuple[View, bytes]],
    bounds: list[int],
    ends: list[int],
    encoded: memoryview,
    head: Callable[[View], bytes],
) -> Iterator[tuple[bytes, int]]:
    """(serialised message, logs in it); a connection with too many logs for one message goes on in further ones."""
    for index, (view, quality) in enumerate(connections):
        prefix, suffix = head(view), quality
        first, last = bounds[index], bounds[index + 1]
        for start in range(first, last, MESSAGE_LOGS) or (first,):
            end = min(start + MESSAGE_LOGS, last)
            logs = encoded[ends[start - 1] if start else 0 : ends[end - 1]] if end > start else b""
            yield b"".join((prefix, logs, suffix)), end - start
            prefix, suffix = b"", b""  # the receiver goes on with the connection it was told last


def _streams(node: Callable[[], bytes], connections: Iterator[tuple[bytes, int]]) -> Iterator[Batch]:
    beginning = node()
    messages, logs, opened = [beginning], 0, 0
    for message, count in connections:
        begins = message[:1] != _LOGS_TAG
        if begins and (opened >= STREAM_CONNECTIONS or logs >= STREAM_LOGS):
            yield Batch(messages, logs)
            messages, logs, opened = [beginning], 0, 0
        messages.append(message)
        logs += count
        opened += begins
    if len(messages) > 1:
        yield Batch(messages, logs)


_LOGS_TAG = b"\x1a"
