"""Batches on their way to the store."""

import asyncio
from dataclasses import dataclass

from backend.ingest.batch import LogBatch


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
