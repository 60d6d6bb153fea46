"""Batches on their way to the store."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from backend.ingest.batch import LogBatch
from backend.ingest.columns import bytes_of
from backend.ingest.sink import Overloaded
from backend.metrics.telemetry import Telemetry


@dataclass(slots=True, eq=False)
class Waiting:
    """A batch that is not stored yet."""

    batch: LogBatch
    bytes: int
    done: asyncio.Future[None]
    """Done when its sender is answered, which is when it is durable."""
    number: int = 0
    """Its place in its flush, which is that in its segment of the journal."""
    is_held: bool = True
    """Whether it counts for what may wait."""
    is_journaled: bool = False
    """Whether it is durable in the journal."""
    is_settled: bool = False
    """Whether it is stored, or given up."""


class WaitingBatches:
    """Batches in the order in which they came, bounded by what is held of them and of those that were taken.

    Args:
        maximum_rows: most logs.
        maximum_bytes: most bytes of columns.
        telemetry: counters to use.
    """

    def __init__(self, maximum_rows: int, maximum_bytes: int, telemetry: Telemetry) -> None:
        self._maximum_rows = maximum_rows
        self._maximum_bytes = maximum_bytes
        self._telemetry = telemetry
        self._waiting: list[Waiting] = []
        self._held_rows = 0
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, batch: LogBatch) -> "asyncio.Future[None]":
        """Take a batch; what is done when it is durable.

        A batch that alone is more than may wait is taken when nothing else waits.

        Raises:
            Overloaded: too much waits.
        """
        done = asyncio.get_running_loop().create_future()
        rows, size = len(batch), _size(batch)
        if self._held_rows and (
            self._held_rows + rows > self._maximum_rows or self._held_bytes + size > self._maximum_bytes
        ):
            self._telemetry.refused.inc(rows)
            raise Overloaded(f"{self._held_rows} logs wait to be stored: send again later")
        if not rows:
            done.set_result(None)
            return done
        self._telemetry.rows.inc(rows)
        self._hold(rows, size)
        self._waiting.append(Waiting(batch, size, done))
        return done

    def take(self, rows: float, size: float) -> list[Waiting]:
        """The first ones, up to the batch with which it is so many logs or bytes. They are still held."""
        number = 0
        while number < len(self._waiting) and rows > 0 and size > 0:
            rows -= len(self._waiting[number].batch)
            size -= self._waiting[number].bytes
            number += 1
        taken, self._waiting = self._waiting[:number], self._waiting[number:]
        return taken

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """Undo `take`."""
        self._waiting = [*taken, *self._waiting]

    def release(self, taken: Sequence[Waiting]) -> None:
        """Settle these, and hold them no longer."""
        for waiting in taken:
            waiting.is_settled = True
            if waiting.is_held:
                waiting.is_held = False
                self._hold(-len(waiting.batch), -waiting.bytes)

    def _hold(self, rows: int, size: int) -> None:
        self._held_rows += rows
        self._held_bytes += size
        self._telemetry.held.set(self._held_rows)


def _size(batch: LogBatch) -> int:
    own = batch.connection.nbytes + batch.kind.nbytes + batch.minute.nbytes + batch.duration_ns.nbytes
    return bytes_of(batch.columns) + own
