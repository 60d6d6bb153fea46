"""What the agent's own work costs: events to logs, logs to messages, per event and per log on one core.

    .venv/bin/python -m bench.agent_export [EVENTS]

Events are made up beforehand: transfers spread over connections of a few processes, every connection opened and closed.
The kernel, the ring and the network are not part of it.
"""

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.config import Configuration
from agent.connections.logs import Logs, TrackedLogs
from agent.conntrack.translation import Translation
from agent.discovery.host import Interface, ProcessFacts, SocketScan
from agent.events.layout import EVENT, STAGES, EventFlag, EventKind, Events
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.heads import encode_connection
from agent.export.kernel_logs import encode_kernel_logs
from agent.pipeline import Pipeline
from bench.report import Report
from tests.agent.export.plain import plain_kernel_log

PROCESSES = 20
REPETITIONS = 5


class Host:
    """Answers at once, so that only the agent's own work is measured."""

    def process(self, pid: int) -> ProcessFacts | None:
        """As Host.process."""
        return ProcessFacts(pid, 1, "server", f"/usr/bin/server-{pid}", (), ())

    def socket_inode(self, _pid: int, _descriptor: int) -> int | None:
        """As Host.socket_inode."""
        return None

    def socket_descriptors(self, _pid: int) -> dict[int, int] | None:
        """As Host.socket_descriptors."""
        return {}

    def sockets(self) -> SocketScan:
        """As Host.sockets."""
        return SocketScan((), {1: ()})

    def interfaces(self) -> tuple[Interface, ...]:
        """As Host.interfaces."""
        return (Interface(1, 65536, "lo"),)

    def addresses(self) -> tuple[bytes, ...]:
        """As Host.addresses."""
        return ()

    def network_namespace(self) -> int:
        """As Host.network_namespace."""
        return 1

    def interfaces_of(self, _namespace: int, _process: int) -> tuple[Interface, ...] | None:
        """As Host.interfaces_of."""
        return None

    def drop_reasons(self) -> Mapping[int, str]:
        """As Host.drop_reasons."""
        return {}

    def translations(self, _namespaces: Mapping[int, int]) -> tuple[Translation, ...]:
        """As Host.translations."""
        return ()

    def boot_time_ns(self) -> int:
        """As Host.boot_time_ns."""
        return 1_700_000_000_000_000_000


def make_events(count: int, per_connection: int, *, stages: bool = False) -> Events:
    """`count` events of connections that live for `per_connection` events each, a hundred of them at a time.

    With `stages` each transfer says what every stage did.
    """
    events = np.zeros(count, dtype=EVENT)
    at = np.arange(count)
    lane, turn = at % 100, at // 100
    connection = turn // per_connection * 100 + lane
    position = turn % per_connection
    events["kind"] = np.where(at // 100 % 2, EventKind.WRITE, EventKind.READ)
    events["system_call"] = np.where(at // 100 % 2, 18, 3)
    events["kind"][position == 0] = EventKind.ACCEPT
    events["kind"][position == per_connection - 1] = EventKind.CLOSE
    events["flags"][position == per_connection - 1] = EventFlag.LAST_REFERENCE
    events["inode"] = connection + 1000
    events["process"] = connection % PROCESSES + 1
    events["descriptor"] = lane + 3
    events["bytes"] = 100 + at % 5000
    events["start_ns"] = 10**14 + at * 1000
    events["end_ns"] = events["start_ns"] + 500
    events["protocol"], events["role"], events["network_namespace"] = 6, 1, 1
    events["local_port"], events["remote_port"] = 80, 10_000 + connection % 50_000
    for name in ("local_address", "remote_address"):
        events[name][:, 10:12] = 255
    if stages:
        events["flags"] |= np.uint32(EventFlag.PACKAGES_COUNTED)
        for name in STAGES.names or ():
            events["stages"][name] = at % (200_000 if name.endswith("_ns") else 3) + 1
    events["local_address"][:, 12:] = (10, 0, 0, 1)
    events["remote_address"][:, 12:] = (10, 0, 0, 2)
    return events


def run(events: Events, step: int) -> tuple[float, int]:
    """(seconds, bytes to send) for all events, `step` of them at a time."""
    size = 0

    def deliver(batch: Batch) -> None:
        nonlocal size
        size += batch.size

    pipeline = Pipeline(Configuration(), "node", 1, host=Host(), ledger=Ledger(), deliver=deliver)
    pipeline.start(0)
    began = time.perf_counter()
    for at in range(0, len(events), step):
        pipeline.step(events[at : at + step], at)
    pipeline.flush(len(events))
    return time.perf_counter() - began, size


def track(events: Events) -> TrackedLogs:
    """The logs of events."""
    collected: list[TrackedLogs] = []
    pipeline = Pipeline(Configuration(), "node", 1, host=Host(), ledger=Ledger(), deliver=lambda _: None)
    pipeline._assembler.append = collected.append  # type: ignore[assignment]  # noqa: SLF001 - stands in the way out
    pipeline.step(events, 0)
    views = {number: view for tracked in collected for number, view in tracked.views.items()}
    return TrackedLogs(np.concatenate([tracked.logs for tracked in collected]), views)


def plain(logs: Logs) -> list[bytes]:
    """Each log built field by field and serialised by protobuf."""
    return [plain_kernel_log(log).SerializeToString() for log in logs]


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some repetitions."""
    seconds = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    report = Report("agent_export", f"{count} events")
    for per_connection, stages in ((4, False), (20, False), (200, False), (20, True), (200, True)):
        events = make_events(count, per_connection, stages=stages)
        for step in (100, 1_000, 10_000):
            seconds, size = min(run(events, step) for _ in range(2))
            label = f"{per_connection} events a connection, {'all' if stages else 'no'} stages, {step:,} a look"
            figures = {"us an event": seconds / count * 1e6, "events/s": count / seconds, "bytes": size / count}
            report.row(label, figures)
    for rows, stages in [(rows, stages) for stages in (False, True) for rows in (10, 100, 1_000, 10_000)]:
        tracked = track(make_events(rows, 20, stages=stages))
        columns = best(partial(encode_kernel_logs, tracked.logs)) / len(tracked.logs)
        fields = best(partial(plain, tracked.logs)) / len(tracked.logs)
        label = f"encoding alone, {rows:,} logs, {'all' if stages else 'no'} stages"
        report.row(label, {"us a log": columns * 1e6, "us field by field": fields * 1e6})
    tracked = track(make_events(10_000, 4))
    views = list(tracked.views.values())
    head = best(lambda: [encode_connection(view, None) for view in views]) / len(views)
    report.row("a connection's head", {"us each": head * 1e6})
    print(report.finish())


if __name__ == "__main__":
    main()
