"""What an event costs the agent by how often it looks at the rings, without kernel, network and waking up.

    .venv/bin/python -m bench.agent_looks [--rates 2000,10000] [--seconds 10]

Events arrive at a rate in a ring of plain memory: a byte over UDP, written and read, on twenty connections. Each look
takes them and makes logs of them, after a glance for new processes as agent/kernel/pacing.py has it, and each second
there is a flush to bytes. Times are of the processor. `looks` is how many milliseconds lie between two.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from agent.config import AccessLog, Configuration, Flush
from agent.config_durations import Duration
from agent.events.layout import EVENT, EventKind, Events, SystemCall
from agent.export.accounting import Ledger
from agent.kernel.pacing import NAMED_KINDS
from agent.kernel.ring import RECORD, Ring
from agent.kernel.source import RING_BYTES
from agent.pipeline import Pipeline
from bench.agent_export import Host
from bench.report import Report

CONNECTIONS = 20
LOOKS = (10, 20, 50, 100, 200, 500, 1000)
"""Milliseconds, each a part of a second."""
REPETITIONS = 5


def make_events(count: int, rate: int) -> Events:
    """Datagrams of a byte between two sockets of each connection, a write and a read in turn."""
    events = np.zeros(count, dtype=EVENT)
    at = np.arange(count)
    writes, connection = at % 2 == 0, at // 2 % CONNECTIONS
    events["kind"] = np.where(writes, EventKind.WRITE, EventKind.READ)
    events["system_call"] = np.where(writes, SystemCall.SENDTO, SystemCall.RECVFROM)
    events["protocol"], events["network_namespace"], events["bytes"] = 17, 1, 1
    events["process"] = events["thread"] = 500
    events["descriptor"] = 2 * connection + ~writes + 10
    events["inode"] = events["descriptor"] + 1000
    events["local_port"] = np.where(writes, 40_000, 20_000) + connection
    events["remote_port"] = np.where(writes, 20_000, 40_000) + connection
    for name in ("local_address", "remote_address"):
        events[name][:, 10:] = (255, 255, 127, 0, 0, 1)
    events["command"][:, :6] = list(b"python")
    events["start_ns"] = at * 1_000_000_000 // rate
    events["end_ns"] = events["start_ns"] + 5000
    events["stages"]["packages"] = events["stages"]["package_bytes"] = events["stages"]["interface"] = 1
    for name in ("l4_ns", "l3_ns", "l2_ns"):
        events["stages"][name] = 1000
    return events


class Memory:
    """A ring, into which events are written."""

    def __init__(self) -> None:
        self._consumed, self._produced = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        self._data = np.zeros(RING_BYTES + RECORD.itemsize, np.uint8)
        self.ring = Ring(self._consumed, self._produced, self._data, RING_BYTES)

    def write(self, events: Events) -> None:
        """Write events, at the beginning when what was written before is taken."""
        if not self.ring.waiting():
            self._consumed[0] = self._produced[0] = 0
            self.ring = Ring(self._consumed, self._produced, self._data, RING_BYTES)
        begin = int(self._produced[0])
        records = self._data[begin : begin + len(events) * RECORD.itemsize].view(RECORD)
        records["length"], records["event"] = EVENT.itemsize, events
        self._produced[0] = begin + records.nbytes


def run(events: Events, rate: int, look: int) -> float:
    """Seconds of the processor for all events, with so many milliseconds between two looks."""
    configuration = Configuration(access_log=AccessLog(flush=Flush(period=Duration(1.0))))
    pipeline = Pipeline(configuration, "node", 1, host=Host(), ledger=Ledger(), deliver=lambda _: None)
    pipeline.start(0)
    memory, spent = Memory(), 0.0

    def step(now_ns: int) -> None:
        for process, command in memory.ring.glance(NAMED_KINDS):
            pipeline.processes.is_new(process, command)
        pipeline.step(memory.ring.take(), now_ns)

    def measured(work: Callable[[], None]) -> None:
        nonlocal spent
        began = time.process_time()
        work()
        spent += time.process_time() - began

    portion = rate * look // 1000
    for number, first in enumerate(range(0, len(events), portion), 1):
        memory.write(events[first : first + portion])
        measured(partial(step, number * look * 1_000_000))
    measured(partial(pipeline.flush, len(events) * 1_000_000_000 // rate))
    if pipeline.events != len(events):
        raise AssertionError(f"{pipeline.events} of {len(events)} events were taken")
    return spent


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="2000,10000", help="events a second (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="of events, for each row (default: %(default)s)")
    options = parser.parse_args()
    report = Report("agent_looks", f"best of {REPETITIONS}, {options.seconds} s of events")
    for rate in map(int, options.rates.split(",")):
        events = make_events(rate * options.seconds, rate)
        spent = dict.fromkeys(LOOKS, float("inf"))
        for _ in range(REPETITIONS):  # in turns: the machine is another one from minute to minute
            for look in LOOKS:
                spent[look] = min(spent[look], run(events, rate, look))
        for look in LOOKS:
            report.row(f"{rate:,} events/s, looks {look} ms", {"us an event": spent[look] / len(events) * 1e6})
    print(report.finish())
    return 0


if __name__ == "__main__":
    sys.exit(main())
