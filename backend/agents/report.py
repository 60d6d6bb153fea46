"""What an agent tells of itself, read from the wire (docs/wire-extensions.md)."""

from dataclasses import dataclass
from enum import Enum

from protos.common.common_pb2 import Instant
from protos.ebpf.accesslog_pb2 import INCOMPLETE, LOST_EVENTS, LOST_LOGS, PyroverAgentReport

_LATEST = 1 << 33  # seconds; the year 2242
_NANOSECONDS = 1_000_000_000


class LossKind(Enum):
    """What was lost."""

    EVENTS = "events"
    LOGS = "logs"
    INCOMPLETE = "incomplete"
    """Nothing as a whole: something was told with less than it should say."""


_KINDS = {LOST_EVENTS: LossKind.EVENTS, LOST_LOGS: LossKind.LOGS, INCOMPLETE: LossKind.INCOMPLETE}


@dataclass(frozen=True, slots=True)
class MissingHook:
    """A hook that an agent could not attach."""

    name: str
    stage: str
    reason: str
    lost: tuple[str, ...]
    """What its logs lack without it."""


@dataclass(frozen=True, slots=True)
class LossCause:
    """By what something was lost."""

    kind: LossKind
    part: str
    """Of the agent, for what is incomplete; else empty."""
    cause: str


@dataclass(frozen=True, slots=True)
class Report:
    """An agent at one moment. Times are Unix seconds by its node's clock, and 0 where there was no usable one."""

    told: float
    started: float
    version: str
    kernel: str
    attach_mode: str
    declared_hooks: int
    attached_hooks: int
    missing_hooks: tuple[MissingHook, ...]
    losses: dict[LossCause, int]
    """Since the start."""
    captured_logs: int
    delivered_logs: int
    waiting_logs: int
    spool_bytes: int
    resident_bytes: int

    def rates_since(self, before: "Report | None") -> dict[LossCause, float]:
        """Losses per minute since an earlier report; empty where the two have no time between them to speak of.

        Counts begin again with each start, so two starts cannot be compared.
        """
        if before is None or before.started != self.started or before.told >= self.told:
            return {}
        minutes = (self.told - before.told) / 60
        return {cause: max(count - before.losses.get(cause, 0), 0) / minutes for cause, count in self.losses.items()}


def read_report(data: bytes) -> Report:
    """Read a serialised PyroverAgentReport that is known to parse. Losses of kinds that are not known are left out."""
    told = PyroverAgentReport.FromString(data)
    losses: dict[LossCause, int] = {}
    for loss in told.losses:
        if (kind := _KINDS.get(loss.kind)) is not None:
            cause = LossCause(kind, loss.part, loss.cause)
            losses[cause] = losses.get(cause, 0) + loss.count
    return Report(
        told=_seconds(told.toldAt),
        started=_seconds(told.startedAt),
        version=told.version,
        kernel=told.kernel,
        attach_mode=told.attachMode,
        declared_hooks=told.declaredHooks,
        attached_hooks=told.attachedHooks,
        missing_hooks=tuple(
            MissingHook(hook.name, hook.stage, hook.reason, tuple(hook.lost)) for hook in told.missingHooks
        ),
        losses=losses,
        captured_logs=told.capturedLogs,
        delivered_logs=told.deliveredLogs,
        waiting_logs=told.waitingLogs,
        spool_bytes=told.spoolBytes,
        resident_bytes=told.residentBytes,
    )


def _seconds(instant: Instant) -> float:
    known = 0 < instant.seconds < _LATEST and 0 <= instant.nanos < _NANOSECONDS
    return instant.seconds + instant.nanos / _NANOSECONDS if known else 0.0
