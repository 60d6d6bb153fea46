"""Whether the agent does what it is there for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.telemetry.parts import Parts

STEP_SECONDS: Final = 10.0
"""After which a pipeline that has noted nothing is not well. It takes steps of some hundredths of a second."""
STUCK_SECONDS: Final = 60.0
"""After which it does not come back by itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    text: str


def examine(parts: Parts | None, now_ns: int) -> Iterator[Finding]:
    """Look at everything that makes an agent ready.

    Args:
        parts: Of the agent; None until it is attached.
        now_ns: CLOCK_MONOTONIC.
    """
    if parts is None:
        yield Finding("hooks", good=False, text="not attached yet: the programs are being loaded")
        return
    hooks = parts.source.coverage.hooks
    missing = [planned.hook.name for planned in hooks if not planned.is_attached]
    without = f", without {', '.join(missing)} (docs/hooks.md says what is lost)" if missing else ""
    yield Finding("hooks", good=True, text=f"{len(hooks) - len(missing)} of {len(hooks)} attached{without}")
    yield _examine_pipeline(parts, now_ns)
    yield _examine_delivery(parts)


def _examine_pipeline(parts: Parts, now_ns: int) -> Finding:
    age = step_age(parts, now_ns)
    if age is None:
        return Finding("events", good=False, text="none taken yet: open connections are being looked for")
    text = f"last taken {age:.1f} s ago"
    if age < STEP_SECONDS:
        return Finding("events", good=True, text=text)
    return Finding("events", good=False, text=f"{text}; is there enough processor time for the agent?")


def _examine_delivery(parts: Parts) -> Finding:
    problem = parts.sender.problem
    if problem:
        waiting = parts.sender.queue.logs
        return Finding("delivery", good=False, text=f"{waiting:,} logs wait; the last attempt failed: {problem}")
    delivered = parts.ledger.balance().delivered
    return Finding("delivery", good=True, text=f"{delivered:,} logs delivered" if delivered else "nothing to send yet")


def step_age(parts: Parts, now_ns: int) -> float | None:
    """Seconds since the pipeline noted how far it is; None before its first step."""
    progress = parts.notes.latest
    return None if progress is None else max(0.0, (now_ns - progress.noted_ns) / 1e9)
