"""A receiver in a process of its own, so that its memory can be measured. Commands come on standard input.

    python -m tests.backend.server.receiver_process [slow [BUDGET]]

Prints its port, then answers each line with one line of JSON: what it has counted and its resident memory. With
"slow" the sink keeps every batch until the line "go" comes; BUDGET is in bytes.
"""

import asyncio
import gc
import json
import sys

import psutil

from backend.ingest.batch import LogBatch
from backend.ingest.budget import Budget
from backend.ingest.warm import warm
from backend.server.access_logs import AccessLogService
from tests.backend.server.support import receiving


class Gate:
    """A sink whose batches are durable once it is open. Keeps their number, not their columns."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.logs = 0

    async def submit(self, batch: LogBatch) -> None:
        await self.opened.wait()
        self.logs += len(batch)


def state(service: AccessLogService, sink: Gate) -> str:
    gc.collect()
    return json.dumps(
        {
            "resident": psutil.Process().memory_info().rss,
            "messages": service.counts.messages,
            "logs": service.counts.logs,
            "accepted": service.counts.accepted,
            "lost_messages": service.counts.lost_messages.total(),
            "stored": service.delivery.stored,
            "sink": sink.logs,
            "held": service.budget.held,
            "highest": service.budget.highest,
            "refused": service.budget.refused,
        }
    )


async def main(*, slow: bool, budget: Budget) -> None:
    warm()
    sink = Gate()
    if not slow:
        sink.opened.set()
    service = AccessLogService(sink, budget)
    async with receiving(service) as receiver:
        print(receiver.listener.port, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "go":
                sink.opened.set()
            print(state(service, sink), flush=True)


if __name__ == "__main__":
    budgets = [Budget(int(argument), patience=1.0) for argument in sys.argv[2:]]
    asyncio.run(main(slow="slow" in sys.argv, budget=budgets[0] if budgets else Budget()))
