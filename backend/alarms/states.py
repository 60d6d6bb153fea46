"""How an alarm begins, is repeated and ends: one step for each minute that is checked.

The states and the three periods are those of Apache SkyWalking. An alarm is told on the way into FIRING, its end on
the way into RECOVERED.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where an entity is with a rule."""

    NORMAL = "NORMAL"
    """The rule does not hold."""
    FIRING = "FIRING"
    """The rule holds, and this minute tells so."""
    SILENCED_FIRING = "SILENCED_FIRING"
    """The rule holds, which was told less than the silence period ago."""
    OBSERVING_RECOVERY = "OBSERVING_RECOVERY"
    """The rule no longer holds, but not yet for long enough."""
    RECOVERED = "RECOVERED"
    """The alarm is over, and this minute tells so."""


OVER = frozenset({State.NORMAL, State.RECOVERED})
"""States without an alarm."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods of a rule, in minutes."""

    silence: int
    """Minutes after an alarm was told in which nothing is told of it."""
    recovery: int
    """Further minutes in a row that a rule must not hold before an alarm is over."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A state and what it takes to leave it."""

    state: State = State.NORMAL
    since_told: int = 0
    """Minutes since the alarm was told, up to the silence period and one; 0 without an alarm."""
    calm: int = 0
    """Minutes in a row that the rule did not hold, up to the recovery period and one; 0 without an alarm."""


CALM = Progress()
"""Without an alarm."""


def advance(progress: Progress, periods: Periods, *, held: bool) -> Progress:
    """The next minute.

    Args:
        progress: where the entity was the minute before.
        periods: those of the rule. They may be others than the minute before.
        held: whether the rule holds in this minute.
    """
    if progress.state in OVER:
        return Progress(State.FIRING) if held else CALM
    since_told = min(progress.since_told + 1, periods.silence + 1)
    audible = since_told > periods.silence
    if held:
        return Progress(State.FIRING) if audible else Progress(State.SILENCED_FIRING, since_told)
    calm = min(progress.calm + 1, periods.recovery + 1)
    if audible and calm > periods.recovery:
        return Progress(State.RECOVERED)
    return Progress(State.OBSERVING_RECOVERY, since_told, calm)
