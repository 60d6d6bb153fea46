"""The part of an agent that delivers, as a program that can be killed: spool, sender and transport.

    sending_agent.py ADDRESS SPOOL NAME BATCHES LOGS [SPOOL_BYTES]

Makes so many batches of so many writes each, of a service of its own for each batch (NAME-0 and so on), and prints
"made N" before each; then waits for a line, delivers what is left, and prints its ledger as JSON.
"""

import json
import sys
import time
from pathlib import Path

from agent.export.sender import Sender, SenderLimits
from agent.export.spool import Spool
from agent.export.transport import GrpcTransport
from tests.delivery.streams import batch_of

PATIENCE = 300.0
"""Seconds in which what is left has to be delivered: a bound on waiting, not an expectation."""
PAUSE = 0.02
"""Seconds between batches, so that some are made while others are on their way."""


def main(  # noqa: PLR0917 - the arguments of a command
    address: str, folder: str, name: str, batches: str, logs: str, spool_bytes: str = str(1 << 28)
) -> None:
    """Run as a program."""
    spool = Spool(Path(folder))
    transport = GrpcTransport(address)
    limits = SenderLimits(
        spool_bytes=int(spool_bytes), logs=200, attempt_seconds=3.0, first_pause=0.05, longest_pause=0.5
    )
    sender = Sender(transport, spool.ledger, limits, spool)
    sender.start()
    for number in range(int(batches)):
        print(f"made {number}", flush=True)
        batch = batch_of(f"{name}-{number}", int(logs))
        spool.ledger.capture(batch.logs)
        sender.submit(batch)
        time.sleep(PAUSE)
    print("all made", flush=True)
    sys.stdin.readline()
    sender.stop(PATIENCE)
    transport.close()
    balance = spool.ledger.balance()
    spool.close()
    print(
        json.dumps(
            {
                "captured": balance.captured,
                "delivered": balance.delivered,
                "waiting": balance.waiting,
                "lost": dict(balance.lost),
                "unspooled": spool.failures,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
