"""The span of time a question is about, in whole minutes since 1970-01-01 UTC."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.metrics.windows import Step, first_minute
from backend.query.errors import QueryError

MAXIMUM_BUCKETS = 500
DEFAULT_START = "-15m"
MINIMUM_PART = 1 / 6  # of a minute: a rate over less is noise
_LAST_MINUTE = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) // 60
_RELATIVE = re.compile(r"-\s*(\d{1,9})\s*([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_HINT = 'use RFC 3339 in UTC, such as "2026-01-31T12:00:00Z", or a time before now, such as "-15m", "-6h" or "-2d"'


@dataclass(frozen=True, slots=True)
class Window:
    """The minutes `first`..`last`, both inclusive, asked for at `now` (seconds since 1970-01-01 UTC)."""

    first: int
    last: int
    now: float

    def buckets(self, step: Step) -> range:
        """First minutes of the buckets that the window touches, in UTC."""
        return range(first_minute(self.first, step), self.last + 1, step)

    def observed(self, minutes: Iterable[int]) -> float:
        """How long was observed, in minutes: what counts are divided by to make rates.

        A minute without any data was not observed: the backend was away, or nothing reported. The minute that is
        not over counts by the part of it that has passed.

        Args:
            minutes: the distinct minutes in which anything at all was stored.
        """
        length = 0.0
        for minute in minutes:
            if self.first <= minute <= self.last:
                length += min(max((self.now - minute * 60) / 60, MINIMUM_PART), 1.0)
        return length


def parse_minute(text: str, now: float, name: str) -> int:
    """The minute that a text names, seconds cut off.

    Args:
        text: RFC 3339 in UTC, "now", or a negative duration relative to now.
        now: seconds since 1970-01-01 UTC.
        name: what the text is, for the error.

    Raises:
        QueryError: the text is none of these, or outside the years 1970 to 2100.
    """
    text = text.strip()
    current = int(now) // 60
    if text == "now":
        return current
    if relative := _RELATIVE.fullmatch(text):
        # "-15m" is the fifteen minutes that end with now: now itself is one of them.
        seconds = int(relative[1]) * _UNIT_SECONDS[relative[2]]
        minute = current + 1 - max(1, -(-seconds // 60))
    else:
        minute = _parse_absolute(text, name)
    if not 0 <= minute <= _LAST_MINUTE:
        raise QueryError(f"{name}={text!r} is outside the years 1970 to 2100", _HINT)
    return minute


def _parse_absolute(text: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(f"{name}={text!r} is not a time", _HINT) from None
    if moment.utcoffset() != timedelta(0):
        raise QueryError(f"{name}={text!r} is not in UTC", _HINT)
    return int(moment.timestamp() // 60)


def parse_window(start: str | None, end: str | None, now: float) -> Window:
    """The window from `start` (default: the last fifteen minutes) to `end` (default: now)."""
    first = parse_minute(start or DEFAULT_START, now, "start")
    last = parse_minute(end or "now", now, "end")
    if first > last:
        raise QueryError(
            f"the start, {format_minute(first)}, is after the end, {format_minute(last)}",
            "exchange them; both ends belong to the span",
        )
    return Window(first, last, now)


def parse_step(text: str | None, window: Window) -> Step:
    """The step asked for, or the finest that gives at most MAXIMUM_BUCKETS.

    Raises:
        QueryError: there is no such step, or the window has too many buckets of it.
    """
    if text is None:
        fitting = (step for step in Step if len(window.buckets(step)) <= MAXIMUM_BUCKETS)
        chosen = next(fitting, Step.DAY)
    elif text.upper() in Step.__members__:
        chosen = Step[text.upper()]
    else:
        raise QueryError(f"step={text!r} does not exist", "use minute, hour or day, or leave it out")
    count = len(window.buckets(chosen))
    if count > MAXIMUM_BUCKETS:
        hint = "ask for a shorter span" + ("" if chosen is Step.DAY else " or a coarser step")
        raise QueryError(
            f"the span has {count} buckets of one {chosen.name.lower()}, more than {MAXIMUM_BUCKETS}", hint
        )
    return chosen


def format_minute(minute: int) -> str:
    """A minute as RFC 3339, such as "2026-01-31T12:00:00Z"."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
