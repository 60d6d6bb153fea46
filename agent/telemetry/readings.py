"""The figures of a running agent, read from its parts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.export.accounting import Loss
from agent.kernel import bpf_programs
from agent.telemetry import families
from agent.telemetry.causes import Causes
from agent.telemetry.exposition import Reading, Series
from agent.telemetry.families import Family
from agent.telemetry.health import step_age
from agent.telemetry.parts import Parts

_STATISTICS: Final = Path("/proc/sys/kernel/bpf_stats_enabled")
_NO_SOURCE: Final = "none"
_PREFIXES: Final = {"conntrack": "translations: ", "tls": "TLS: "}
"""Of causes: what the label of the part says already."""


def read_parts(parts: Parts, causes: Causes, now_ns: int) -> Iterator[Reading]:
    """All figures that come from the parts.

    Args:
        parts: Of the agent.
        causes: Bounds the causes that are told apart.
        now_ns: CLOCK_MONOTONIC.
    """
    yield from _read_hooks(parts)
    yield from _read_programs(parts)
    yield families.EVENTS_LOST, _by_cause(parts.source.losses())
    yield from _read_progress(parts, now_ns)
    yield from _read_delivery(parts)
    yield (
        families.INCOMPLETE,
        [
            ((part, cause.removeprefix(_PREFIXES.get(part, ""))), count)
            for part, counts in parts.incomplete().items()
            for cause, count in causes.bounded(part, counts).items()
        ],
    )
    if parts.tls is not None:
        yield families.TLS_FILES, [((), len(parts.tls.attached))]
    if parts.conntrack is not None:
        yield families.NAMESPACES, [((), len(parts.conntrack.watched))]


def _read_hooks(parts: Parts) -> Iterator[Reading]:
    yield (
        families.HOOK,
        [
            (
                (
                    planned.hook.name,
                    planned.hook.stage.value,
                    planned.source.kind.value if planned.source else _NO_SOURCE,
                ),
                int(planned.is_attached),
            )
            for planned in parts.source.coverage.hooks
        ],
    )


def _read_programs(parts: Parts) -> Iterator[Reading]:
    measured = parts.configuration.telemetry.program_statistics or _STATISTICS.read_text().strip() != "0"
    yield families.STATISTICS, [((), int(measured))]
    seconds: list[Series] = []
    runs: list[Series] = []
    skipped: list[Series] = []
    for program, descriptor in parts.source.loaded.programs.items():
        information = bpf_programs.program_information(descriptor)
        labels = program.name, program.kind.value
        seconds.append((labels, information.run_ns / 1e9))
        runs.append((labels, information.runs))
        skipped.append((labels, information.skipped))
    yield families.PROGRAM_SECONDS, seconds
    yield families.PROGRAM_RUNS, runs
    yield families.PROGRAM_SKIPPED, skipped


def _read_progress(parts: Parts, now_ns: int) -> Iterator[Reading]:
    progress = parts.notes.latest
    age = step_age(parts, now_ns)
    if progress is None or age is None:
        return
    single: Mapping[Family, float] = {
        families.STEP_AGE: age,
        families.EVENTS: progress.events,
        families.PENDING: progress.pending,
        families.CONNECTIONS: progress.connections,
        families.CONNECTIONS_LIMIT: parts.configuration.limits.connections,
        families.CONNECTIONS_EVICTED: progress.connections_evicted,
        families.PROCESSES: progress.processes,
        families.PROCESSES_EVICTED: progress.processes_evicted,
        families.CONVERSATIONS: progress.conversations,
        families.ADDRESSES_WITHOUT_ROOM: progress.addresses_without_room,
    }
    for family, figure in single.items():
        yield family, [((), figure)]
    yield families.TROUBLES, _by_cause(progress.troubles)


def _read_delivery(parts: Parts) -> Iterator[Reading]:
    balance, queue, deliveries = parts.ledger.balance(), parts.sender.queue, parts.transport.deliveries
    limits = parts.configuration.limits
    single: Mapping[Family, float] = {
        families.LOGS_CAPTURED: balance.captured + balance.withdrawn,
        families.LOGS_DELIVERED: balance.delivered,
        families.LOGS_WITHDRAWN: balance.withdrawn,
        families.QUEUE_LOGS: queue.logs,
        families.QUEUE_LOGS_LIMIT: limits.queue_logs,
        families.QUEUE_BYTES: queue.size,
        families.QUEUE_BYTES_LIMIT: limits.queue_bytes,
        families.QUEUE_BATCHES: queue.batches,
        families.ATTEMPT_SECONDS: deliveries.seconds,
        families.BATCHES: deliveries.batches,
        families.DELIVERED_BYTES: deliveries.size,
        families.BACKEND_MOVES: parts.backends.moves,
    }
    for family, figure in single.items():
        yield family, [((), figure)]
    if parts.spool is not None:
        yield families.SPOOL_BYTES, [((), queue.spooled_size)]
        yield families.SPOOL_BYTES_LIMIT, [((), parts.configuration.spool.bytes)]
        failures = {"batch": parts.spool.failures, "ledger": parts.spool.record_failures}
        yield families.SPOOL_FAILURES, _by_cause(failures)
    yield families.LOGS_LOST, _by_cause({**dict.fromkeys(Loss, 0), **balance.lost})
    yield families.ATTEMPTS, _by_cause(deliveries.attempts)
    yield families.BACKEND_CONNECTIONS, _by_cause(parts.backends.connections)
    yield families.BACKEND_FAILURES, _by_cause(dict(parts.backends.failures))


def _by_cause(counts: Mapping[str, int]) -> list[Series]:
    return [((cause,), count) for cause, count in counts.items()]
