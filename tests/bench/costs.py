"""What messages cost in counts, beside the numbers that are expected: expected_costs.json.

    python -m tests.bench.costs

writes the numbers of this machine's kernel and interpreter into the table, after a change that is meant to cost more,
or that costs less. Numbers of kernels that are not this one stay.
"""

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.config import Configuration
from agent.events.fragments import ConversationProtocol, Fragment
from agent.events.layout import EVENT, Events
from agent.export.accounting import Ledger
from agent.kernel import bpf_programs
from agent.kernel.source import KernelSource
from agent.pipeline import Pipeline
from backend.entities.resolution import Resolver
from backend.ingest.framing import Framer
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.metrics.analysis import analyse
from backend.oal.compiler import Program
from backend.oal.loader import load
from bench import agent_http
from bench.agent_export import Host, make_events
from bench.counting import Counts, count
from bench.http2 import framed
from bench.oal import make_batch
from bench.receiver import message

TABLE: Final = Path(__file__).with_name("expected_costs.json")
EVENTS: Final = 2_000
LOOKS: Final = 100
EXCHANGES: Final = 200
MESSAGES: Final = 500
LOGS: Final = 1_000

LEAST: Final = 16.0
"""Figures below this are not compared: a new field of an object may double them."""

Prepare = Callable[[], Callable[[], object]]
Costs = Mapping[str, float]


def pipeline(steps: list[tuple[Events, list[Fragment]]]) -> Prepare:
    """The agent from the ring to batches of bytes, in so many looks at the ring."""

    def prepare() -> Callable[[], None]:
        made = Pipeline(Configuration(), "node", 1, host=Host(), ledger=Ledger(), deliver=lambda _: None)
        made.start(0)

        def work() -> None:
            for number, (events, fragments) in enumerate(steps):
                made.step(events, number, fragments)
            made.flush(len(steps))

        return work

    return prepare


def looks(events: Events, step: int) -> list[tuple[Events, list[Fragment]]]:
    return [(events[at : at + step], []) for at in range(0, len(events), step)]


def exchanges(protocol: ConversationProtocol, talks: list[agent_http.Talk]) -> Prepare:
    made = agent_http.make_steps(protocol, talks, EXCHANGES)
    return pipeline([(events, fragments) for events, fragments, _ in made])


def http1() -> Prepare:
    protocol, talk = agent_http.http1()
    return exchanges(protocol, [talk] * 10)


def unlike() -> Prepare:
    protocol, talk = agent_http.unlike()
    return exchanges(protocol, [talk] * 10)


def http2(*, grpc: bool) -> Prepare:
    protocol, talk = agent_http.http2(1, grpc=grpc)
    return exchanges(protocol, [talk() for _ in range(10)])


def received() -> Callable[[], object]:
    """The backend from the body of a call to columns."""
    body = b"".join(framed(message(number % 50, node=number == 0)) for number in range(MESSAGES))
    stream, framer = LogStream(Interner()), Framer()

    def work() -> None:
        framer.add(body)
        for frames in framer.take():
            stream.take(frames)
        batch = stream.batch()
        assert batch is not None
        assert len(batch.kind) == 5 * MESSAGES

    return work


def analysed(*, again: bool) -> Prepare:
    """The backend from columns to rows of metrics; `again` when their entities were there before."""
    program = Program(load().definitions)
    columns = sorted({column for wanted in program.columns.values() for column in wanted})
    batch = make_batch(LOGS, 100, 5, columns)

    def prepare() -> Callable[[], object]:
        resolver = Resolver()
        if again:
            analyse([batch], resolver, program, "writer")
        return lambda: analyse([batch], resolver, program, "writer")

    return prepare


WORK: Final[Mapping[str, tuple[Callable[[], Prepare], int]]] = {
    "agent: a look that finds nothing": (lambda: pipeline([(np.zeros(0, dtype=EVENT), [])] * LOOKS), LOOKS),
    "agent: an event of 10 a look": (lambda: pipeline(looks(make_events(EVENTS, 20), 10)), EVENTS),
    "agent: an event of 1,000 a look": (lambda: pipeline(looks(make_events(EVENTS, 20), 1_000)), EVENTS),
    "agent: the same with stages": (lambda: pipeline(looks(make_events(EVENTS, 20, stages=True), 1_000)), EVENTS),
    "agent: an exchange of HTTP/1": (http1, EXCHANGES),
    "agent: the same, no head like another": (unlike, EXCHANGES),
    "agent: an exchange of HTTP/2": (lambda: http2(grpc=False), EXCHANGES),
    "agent: an exchange of gRPC": (lambda: http2(grpc=True), EXCHANGES),
    "backend: a message to columns": (lambda: received, MESSAGES),
    "backend: a log to rows of metrics": (lambda: analysed(again=False), LOGS),
    "backend: the same of entities that are known": (lambda: analysed(again=True), LOGS),
}
"""What is counted, and how many pieces a run of it has."""


def costs_of(work: str) -> Costs:
    """The costs of one piece of a work."""
    make, pieces = WORK[work]
    counts: Counts = count(make())
    return {
        "bytecodes": counts.bytecodes / pieces,
        "calls": counts.calls / pieces,
        "peak bytes": counts.peak_bytes / pieces,
    }


def kernel_name(source: KernelSource) -> str:
    """The kernel that the verifier's numbers are of, and by what the programs are attached."""
    kinds = sorted({str(program.kind.value) for program in source.loaded.programs})
    return " ".join([".".join(platform.release().split(".")[:2]), *kinds])


def verified(source: KernelSource) -> Costs:
    """Instructions that the verifier looked at, of each program, by its function."""
    return {
        str(program.name): bpf_programs.program_information(descriptor).verified
        for program, descriptor in source.loaded.programs.items()
    }


def expected() -> dict[str, Any]:
    """The table."""
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def changed(expected_costs: Costs, costs: Costs) -> dict[str, str]:
    """What costs twice as much as expected, or half as much, or is not in the table, or no longer there.

    So an improvement is written down as well, and is guarded from then on.
    """
    found = {}
    for name in sorted(expected_costs.keys() | costs.keys()):
        before, now = expected_costs.get(name), costs.get(name)
        if before is None or now is None or (max(before, now) >= LEAST and not before / 2 < now < before * 2):
            found[name] = f"expected {before}, found {now if now is None else round(now, 1)}"
    return found


def write() -> None:
    """Write this machine's numbers into the table."""
    table = expected() if TABLE.exists() else {"verified": {}}
    table["work"] = {work: {name: float(f"{cost:.3g}") for name, cost in costs_of(work).items()} for work in WORK}
    with KernelSource.open(only_processes=()) as source:
        table["verified"][kernel_name(source)] = dict(sorted(verified(source).items()))
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    write()
