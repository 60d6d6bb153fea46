"""Tells the hosts that agents run on by what their streams say of them, on the way to the analysis."""

import time
from collections.abc import Awaitable, Callable

from backend.ingest.batch import LogBatch, Node
from backend.ingest.interning import NODES, RecentCache
from backend.ingest.sink import LogSink

AGAIN = 60.0
"""Seconds after which a host that still sends is told again."""


class Hearing:
    """A sink that hands batches on, and tells each node in them that has said its addresses.

    Args:
        sink: Where the batches go.
        hear: Takes a node and its addresses, as HostBook.hear; does not block.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        sink: LogSink,
        hear: Callable[[Node, tuple[str, ...]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._hear = hear
        self._clock = clock
        self._told: RecentCache[tuple[str, str], tuple[float, tuple[str, ...]]] = RecentCache(NODES)
        """By cluster and name: when it was told last, and with which addresses."""

    def submit(self, batch: LogBatch) -> Awaitable[None]:
        """As LogSink.submit. A host is known before its own logs are analysed."""
        nodes = {id(connection.node): connection.node for connection in batch.connections}
        for node in nodes.values():
            if node.addresses:
                self._tell(node)
        return self._sink.submit(batch)

    def _tell(self, node: Node) -> None:
        name, now = (node.cluster, node.name), self._clock()
        told = self._told.get(name)
        if told is None or told[1] != node.addresses or now - told[0] >= AGAIN:
            self._told.put(name, (now, node.addresses))
            self._hear(node, node.addresses)
