"""Run by test_bounds.py in a process of its own, in which numba checks every index."""

import random
import sys

import numpy as np

from backend.ingest import wire
from backend.ingest.counts import Counts
from backend.ingest.framing import Framer, Frames
from backend.ingest.interning import Interner
from backend.ingest.status import CallError
from backend.ingest.stream import LogStream
from tests.backend.ingest.messages import framed, message, read_log
from tests.backend.ingest.test_decode import mutated, rich_message


def fuzz(seed: int, rounds: int) -> Counts:
    source = random.Random(seed)
    seeds = [rich_message(source) for _ in range(50)] + [message(read_log(), node="n", remote="r").SerializeToString()]
    interner, total = Interner(), Counts()
    for _ in range(rounds):
        messages = [source.choice(seeds) for _ in range(3)]
        messages = [mutated(source, item) if source.random() < 0.7 else item for item in messages]
        stream = LogStream(interner)
        # Each message ends where its buffer ends, so that no byte behind it can be read unnoticed.
        for item in messages:
            stream.take(Frames.of([item]))
        framer = Framer()
        body = framed(messages)
        framer.add(mutated(source, body) if source.random() < 0.5 else body)
        try:
            for frames in framer.take():
                stream.take(frames)
        except CallError:
            pass
        stream.batch()
        total.add(stream.counts)
    return total


def check_that_indexes_are_checked() -> None:
    """An index out of range must be seen, or this run would show nothing."""
    try:
        wire.varint(np.zeros(1, np.uint8), 1, 2)
    except IndexError:
        return
    raise SystemExit("indexes are not checked")


if __name__ == "__main__":
    check_that_indexes_are_checked()
    counts = fuzz(int(sys.argv[1]), int(sys.argv[2]))
    print(counts.messages, counts.logs, sum(counts.lost_messages.values()))
