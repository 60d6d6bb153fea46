"""Reports of the agent to the backend: from what they are made, and when they are due."""

import platform
import time
from collections.abc import Callable
from typing import Final

from agent.export.agent_report import AgentReport, MissingHook, encode_report
from agent.kernel.plan import PlannedHook
from agent.telemetry import families
from agent.telemetry.families import Family
from agent.telemetry.parts import Parts
from agent.telemetry.usage import read_usage
from common.version import installed_version

INTERVAL_NS: Final = 30_000_000_000
"""The shortest pause between two reports. A stream that begins sooner goes without."""


class AgentReports:
    """Tells of the agent in its streams. Belongs to the pipeline's thread."""

    def __init__(self, parts: Callable[[], Parts], clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Begin with a report that is due at once.

        Args:
            parts: Gives what is asked for figures.
            clock_ns: Unix time, in nanoseconds.
        """
        self._parts = parts
        self._clock_ns = clock_ns
        self._told_ns: int | None = None
        self._started_ns = int(_usage(families.START_TIME) * 1e9)

    def __call__(self, now_ns: int, *, alone: bool) -> bytes:
        """A message with a report, or nothing when none is due.

        Args:
            now_ns: CLOCK_MONOTONIC.
            alone: Whether it would be a stream of its own. While others wait there is none: where nobody takes them,
                reports would fill the queue.
        """
        if self._told_ns is not None and now_ns - self._told_ns < INTERVAL_NS:
            return b""
        parts = self._parts()
        if alone and parts.sender.queue.batches:
            return b""
        self._told_ns = now_ns
        return encode_report(make_report(parts, told_ns=self._clock_ns(), started_ns=self._started_ns))


def make_report(parts: Parts, *, told_ns: int, started_ns: int) -> AgentReport:
    """What is so now.

    Args:
        parts: Of the agent.
        told_ns: Unix time in nanoseconds.
        started_ns: The same of the agent's start.
    """
    hooks = parts.source.coverage.hooks
    balance, queue, progress = parts.ledger.balance(), parts.sender.queue, parts.notes.latest
    return AgentReport(
        told_ns=told_ns,
        started_ns=started_ns,
        version=installed_version() or "",
        kernel=f"{platform.release()} {platform.machine()}",
        attach_mode=parts.configuration.kernel.attach,
        declared_hooks=len(hooks),
        missing_hooks=tuple(_missing(planned) for planned in hooks if not planned.is_attached),
        lost_events=parts.source.losses(),
        lost_logs=balance.lost,
        incomplete=parts.incomplete(),
        captured_logs=balance.captured,
        delivered_logs=balance.delivered,
        waiting_logs=queue.logs + (progress.pending if progress is not None else 0),
        spool_bytes=queue.spooled_size,
        resident_bytes=int(_usage(families.RESIDENT)),
    )


def _usage(wanted: Family) -> float:
    """One figure of this process."""
    return next(series[0][1] for family, series in read_usage() if family is wanted)


def _missing(planned: PlannedHook) -> MissingHook:
    by_reason: dict[str, list[str]] = {}
    for kind, reason in planned.reasons.items():
        by_reason.setdefault(reason.partition("\n")[0], []).append(kind.value.replace("_", " "))
    reasons = [f"{', '.join(kinds)}: {reason}" for reason, kinds in by_reason.items()]
    if len(reasons) == 1:
        reasons = list(by_reason)
    return MissingHook(planned.hook.name, planned.hook.stage.value, "; ".join(reasons), planned.hook.lost)
