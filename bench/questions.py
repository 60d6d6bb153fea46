"""What questions cost those who ask them while logs come in: 100 callers of execExpression at a time, ingest at half.

    python -m bench.questions [--callers 100] [--seconds 10] [--instances 2000]

A whole backend on one core, as in bench/ingest.py. First logs are sent as fast as it takes them, for that long; then
nothing, and then half of that rate, while each caller asks one question after another on a connection of its own: the
calls per minute of a service over the last 15 minutes, of all services in turn. Told are the times from a question
until its whole answer was there, and the processor time of the backend. What was refused or failed ends the whole.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from backend.server.access_logs import PATH
from bench.http2 import Connection, coalesced, framed
from bench.ingest import INSTANCES_OF_A_SERVICE, SENDER_CORE, UP_NS, Server, message, send, serving

LOGS = 5
"""Of a message."""
STREAM = 10_000
"""Messages of a stream: what is sent is taken a flush at a time, so that short streams wait for flushes."""
SENDERS = 4
"""Of which each sends one stream after another, as those do that find the limit."""
QUESTION = """query ($entity: Entity!, $duration: Duration!) {
  execExpression(expression: "kubernetes_service_read_cpm", entity: $entity, duration: $duration) {
    error results { values { id value } }
  }
}"""


class Paced(threading.Thread):
    """Sends streams at a rate, in messages a second, until it is told to stop."""

    def __init__(self, server: Server, payloads: Sequence[bytes], messages: int, rate: float) -> None:
        super().__init__()
        self.sent = 0
        self.stop = threading.Event()
        self._server, self._payloads, self._messages, self._rate = server, payloads, messages, rate

    def run(self) -> None:
        """Send."""
        begin = time.monotonic()
        with Connection(self._server.port) as connection:
            while not self.stop.wait(max(0.0, begin + self.sent / self._rate - time.monotonic())):
                stream = connection.open(PATH)
                connection.send(stream, self._payloads)
                connection.end(stream)
                if connection.answer(stream).headers.get("grpc-status") != "0":
                    raise SystemExit("the backend refused logs")
                self.sent += self._messages


async def ask(server: Server, callers: int, services: int, seconds: float) -> list[float]:
    """Seconds that each question took."""
    numbers = itertools.cycle(range(services))
    end = time.monotonic() + seconds
    taken: list[float] = []

    async def caller() -> None:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", timeout=120, trust_env=False
        ) as client:
            while (begin := time.monotonic()) < end:
                now = time.time()
                first, last = (time.strftime("%Y-%m-%d %H%M", time.gmtime(now - ago)) for ago in (14 * 60, 0))
                entity = {"scope": "Service", "serviceName": f"service-{next(numbers):05}.default", "normal": True}
                variables = {"entity": entity, "duration": {"start": first, "end": last, "step": "MINUTE"}}
                response = await client.post("/graphql", json={"query": QUESTION, "variables": variables})
                answer = response.json()
                if answer.get("errors") or answer["data"]["execExpression"]["error"]:
                    raise SystemExit(f"a question was not answered: {response.status_code} {response.text[:500]}")
                taken.append(time.monotonic() - begin)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--instances", type=int, default=2_000)
    asked = parser.parse_args()
    os.sched_setaffinity(0, {SENDER_CORE})
    boot_seconds = (time.time_ns() - UP_NS) // 1_000_000_000
    messages = [
        framed(message(place % asked.instances, LOGS, None if place else boot_seconds)) for place in range(STREAM)
    ]
    payloads = list(coalesced(b"".join(messages)))
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), {}) as server:
        send(server, payloads, len(messages), 0)
        began = time.monotonic()
        limit = send(server, payloads, len(messages), asked.seconds) / (time.monotonic() - began)
        services = asked.instances // INSTANCES_OF_A_SERVICE
        for rate in (0.0, limit / 2):
            senders = [Paced(server, payloads, len(messages), rate / SENDERS) for _ in range(SENDERS if rate else 0)]
            for sender in senders:
                sender.start()
            begin, used = time.monotonic(), server.cpu()
            taken = asyncio.run(ask(server, asked.callers, services, asked.seconds))
            took, used = time.monotonic() - begin, server.cpu() - used
            for sender in senders:
                sender.stop.set()
            sent = sum(sender.sent for sender in senders)
            for sender in senders:
                sender.join()
            middle, last = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
            print(
                f"{sent / took:,.0f} messages/s (the limit is {limit:,.0f}), {asked.callers} callers:"
                f" {len(taken) / took:,.0f} answers/s, p50 {middle * 1e3:,.0f} ms, p99 {last * 1e3:,.0f} ms\n"
                f"  the backend had {used / took:.0%} of a core: {used / len(taken) * 1e3:.1f} ms an answer",
                flush=True,
            )


if __name__ == "__main__":
    main()
