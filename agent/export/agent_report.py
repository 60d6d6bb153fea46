"""What an agent tells the backend of itself, beside its logs: how much of its node it sees, and what it has lost.

A report has a bounded size, however many hooks are missing and however many causes there are: texts are cut, and what
is beyond a bound is added up.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from protos.common import common_pb2
from protos.ebpf import accesslog_pb2 as wire

MISSING_HOOKS: Final = 64
"""Hooks that are named; how many there are is told beside them."""
LOST_TEXTS: Final = 5
"""Things that are named as lost without one hook."""
CAUSES: Final = 30
"""Causes that are told apart, of each kind of loss; those beyond are added up as OTHER."""
OTHER: Final = "other"
TEXT_BYTES: Final = 120
"""Of one text in UTF-8."""
LARGEST_REPORT: Final = 98_304
"""Bytes that the bounds above leave a report at most; what one takes is about a hundredth of that."""

_SECOND: Final = 1_000_000_000
_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class MissingHook:
    """A hook that is not attached."""

    name: str
    stage: str
    """What it feeds."""
    reason: str
    """Why it has no source."""
    lost: tuple[str, ...]
    """What the access logs lack without it."""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """An agent at one moment. Counts are since it started, those of logs since its spool began."""

    told_ns: int
    """Unix time, in nanoseconds."""
    started_ns: int
    """The same of its start; by it a restart is seen, after which counts begin again."""
    version: str
    kernel: str
    attach_mode: str
    declared_hooks: int
    missing_hooks: tuple[MissingHook, ...]
    lost_events: Mapping[str, int]
    """Events that were not taken from the kernel, by cause."""
    lost_logs: Mapping[str, int]
    """Logs that were given up, by cause."""
    incomplete: Mapping[str, Mapping[str, int]]
    """Things told with less than they should say, by part of the agent and cause."""
    captured_logs: int
    delivered_logs: int
    waiting_logs: int
    spool_bytes: int
    resident_bytes: int


def encode_report(report: AgentReport) -> bytes:
    """A message that carries the report; joined to one that carries the node it makes one message of both."""
    told = wire.PyroverAgentReport(
        toldAt=_instant(report.told_ns),
        startedAt=_instant(report.started_ns),
        version=cut(report.version),
        kernel=cut(report.kernel),
        attachMode=cut(report.attach_mode),
        declaredHooks=report.declared_hooks,
        attachedHooks=report.declared_hooks - len(report.missing_hooks),
        missingHooks=map(_missing, report.missing_hooks[:MISSING_HOOKS]),
        losses=_losses(report),
        capturedLogs=report.captured_logs,
        deliveredLogs=report.delivered_logs,
        waitingLogs=report.waiting_logs,
        spoolBytes=report.spool_bytes,
        residentBytes=report.resident_bytes,
    )
    return wire.EBPFAccessLogMessage(agentReport=told).SerializeToString(deterministic=True)


def cut(text: str) -> str:
    """The first line of a text, at most TEXT_BYTES long."""
    line = text.partition("\n")[0]
    data = line.encode(errors="replace")
    if len(data) <= TEXT_BYTES:
        return data.decode()
    return data[: TEXT_BYTES - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _instant(time_ns: int) -> common_pb2.Instant:
    seconds, nanoseconds = divmod(time_ns, _SECOND)
    return common_pb2.Instant(seconds=seconds, nanos=nanoseconds)


def _missing(hook: MissingHook) -> wire.PyroverMissingHook:
    return wire.PyroverMissingHook(
        name=cut(hook.name), stage=cut(hook.stage), reason=cut(hook.reason), lost=map(cut, hook.lost[:LOST_TEXTS])
    )


def _losses(report: AgentReport) -> Iterator[wire.PyroverAgentLoss]:
    of_parts = ((part, cause, count) for part, counts in report.incomplete.items() for cause, count in counts.items())
    yield from _bounded(wire.LOST_EVENTS, (("", cause, count) for cause, count in report.lost_events.items()))
    yield from _bounded(wire.LOST_LOGS, (("", cause, count) for cause, count in report.lost_logs.items()))
    yield from _bounded(wire.INCOMPLETE, of_parts)


def _bounded(
    kind: wire.PyroverAgentLossKind, counts: Iterable[tuple[str, str, int]]
) -> Iterator[wire.PyroverAgentLoss]:
    """Losses of one kind; those that never happened are left out."""
    happened = (entry for entry in counts if entry[2])
    for part, cause, count in islice(happened, CAUSES):
        yield wire.PyroverAgentLoss(kind=kind, part=cut(part), cause=cut(cause), count=count)
    if rest := sum(count for _, _, count in happened):
        yield wire.PyroverAgentLoss(kind=kind, cause=OTHER, count=rest)
