"""Where received logs go: the interface between the receiver and the analysis behind it."""

from collections.abc import Awaitable
from typing import Protocol

from backend.ingest.batch import LogBatch


class LogSink(Protocol):
    """Takes batches of logs. Called from the event loop; returns at once."""

    def submit(self, batch: LogBatch) -> Awaitable[None]:
        """Take a batch.

        The awaitable completes when the batch is durable, that is, when it survives a crash.

        Raises:
            Overloaded: more is waiting than may wait; nothing of the batch was taken.
            StorageError: (from the awaitable) the batch could not be stored; the sender should send it again.
        """
        ...


class Overloaded(Exception):  # noqa: N818 - a state, and the name of the gRPC answer's reason
    """The sink holds as much as it may; the sender should wait and try again."""
