"""Collects logs until a flush, then makes streams of them: node first, then each connection with its logs."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.connections.logs import Logs, TrackedLogs
from agent.connections.view import View
from agent.export.kernel_logs import encode_kernel_logs

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
        self._pending: list[Logs] = []
        self._views: dict[int, View] = {}
        self.count = 0
        """Logs that wait for the next flush."""

    def append(self, tracked: TrackedLogs) -> None:
        """Take logs on."""
        if len(tracked.logs):
            self._pending.append(tracked.logs)
            self._views.update(tracked.views)
            self.count += len(tracked.logs)

    def flush(self, node: bytes, head: Callable[[View], bytes]) -> Iterator[Batch]:
        """Everything collected, as streams; logs of a connection keep their order.

        `node` is the serialised message that begins each stream, `head` gives a view's serialised connection.
        The collection is empty once the first batch was asked for.
        """
        if not self._pending:
            return
        logs, views = np.concatenate(self._pending), self._views
        self._pending, self._views, self.count = [], {}, 0
        logs = logs[np.argsort(logs["view"], kind="stable")]
        encoded, ends = encode_kernel_logs(logs)
        numbers, first = np.unique(logs["view"], return_index=True)
        yield from _streams(
            node,
            _connections(
                numbers.tolist(),
                [*first.tolist(), len(logs)],
                ends.tolist(),
                encoded,
                lambda number: head(views[number]),
            ),
        )


def _connections(
    numbers: list[int], bounds: list[int], ends: list[int], encoded: memoryview, head: Callable[[int], bytes]
) -> Iterator[tuple[bytes, int]]:
    """(serialised message, logs in it); a connection with too many logs for one message goes on in further ones."""
    for index, number in enumerate(numbers):
        prefix = head(number)
        for start in range(bounds[index], bounds[index + 1], MESSAGE_LOGS):
            end = min(start + MESSAGE_LOGS, bounds[index + 1])
            yield prefix + encoded[ends[start - 1] if start else 0 : ends[end - 1]], end - start
            prefix = b""  # the receiver goes on with the connection it was told last


def _streams(node: bytes, connections: Iterator[tuple[bytes, int]]) -> Iterator[Batch]:
    messages, logs, opened = [node], 0, 0
    for message, count in connections:
        begins = message[:1] != _LOGS_TAG
        if begins and (opened >= STREAM_CONNECTIONS or logs >= STREAM_LOGS):
            yield Batch(messages, logs)
            messages, logs, opened = [node], 0, 0
        messages.append(message)
        logs += count
        opened += begins
    yield Batch(messages, logs)


_LOGS_TAG = b"\x1a"
