"""The span of time of an expression, cut into buckets.

Both ends are inclusive: from the bucket that has the start to the bucket that has the end. Days and hours are those of
a zone, given as its offset from UTC.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

MAXIMUM_POINTS = 501
"""Buckets of a duration: 500 after the first, as in Apache SkyWalking."""
MAXIMUM_OFFSET = 18 * 60
"""Minutes that a zone can be from UTC."""

_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class DurationError(Exception):
    """A span that cannot be asked for; the message says what to do."""


class Step(Enum):
    """Length of a bucket, in seconds."""

    SECOND = 1
    MINUTE = 60
    HOUR = 3_600
    DAY = 86_400

    @property
    def pattern(self) -> str:
        """How Apache SkyWalking writes the start of such a bucket."""
        return _PATTERNS[self][0]


_PATTERNS = {
    Step.DAY: ("yyyy-MM-dd", re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)),
    Step.HOUR: ("yyyy-MM-dd HH", re.compile(r"(\d{4})-(\d{2})-(\d{2}) (\d{2})", re.ASCII)),
    Step.MINUTE: ("yyyy-MM-dd HHmm", re.compile(r"(\d{4})-(\d{2})-(\d{2}) (\d{2})(\d{2})", re.ASCII)),
    Step.SECOND: ("yyyy-MM-dd HHmmss", re.compile(r"(\d{4})-(\d{2})-(\d{2}) (\d{2})(\d{2})(\d{2})", re.ASCII)),
}


@dataclass(frozen=True, slots=True)
class Duration:
    """`points` buckets of a step, one after the other.

    Attributes:
        first: start of the first bucket, in seconds since 1970-01-01 UTC.
        points: how many buckets.
        step: length of each.
        offset: minutes that the zone's clocks are ahead of UTC; its days and hours are those of the buckets.
    """

    first: int
    points: int
    step: Step
    offset: int = 0

    @property
    def buckets(self) -> range:
        """Start of each bucket, in seconds since 1970-01-01 UTC."""
        return range(self.first, self.first + self.points * self.step.value, self.step.value)

    @property
    def unit(self) -> Step:
        """The longest step of UTC that every bucket is made of without a rest: what is to be read."""
        for step in (Step.DAY, Step.HOUR, Step.MINUTE):
            if step.value <= self.step.value and self.first % step.value == 0:
                return step
        return Step.SECOND

    def before(self, buckets: int) -> "Duration":
        """As many buckets as this, `buckets` earlier."""
        return Duration(self.first - buckets * self.step.value, self.points, self.step, self.offset)

    def extended(self, buckets: int) -> "Duration":
        """This, with `buckets` more before it."""
        return Duration(self.first - buckets * self.step.value, self.points + buckets, self.step, self.offset)


def parse_offset(text: str) -> int:
    """Minutes ahead of UTC that a text such as "+0800" or "-03:30" says. Raises DurationError."""
    found = _OFFSET.fullmatch(text)
    minutes = int(found[2]) * 60 + int(found[3]) if found else MAXIMUM_OFFSET + 1
    if found is None or minutes > MAXIMUM_OFFSET or int(found[3]) > 59:  # noqa: PLR2004 - minutes of an hour
        raise DurationError(f"{text!r} is not an offset from UTC: write it as +0800 or -03:30, at most 18 hours")
    return minutes if found[1] == "+" else -minutes


def parse_duration(start: str, end: str, step: Step, offset: int = 0) -> Duration:
    """The buckets from `start` to `end`, written as the step's pattern says, by clocks `offset` minutes ahead of UTC.

    Raises:
        DurationError: an end is not written so, is not within the years 1970 to 2099, or the span is empty or long.
    """
    first, last = _parse(start, step, offset, "start"), _parse(end, step, offset, "end")
    return between(first, last, step, offset)


def between(first: int, last: int, step: Step, offset: int = 0) -> Duration:
    """The buckets from that of the second `first` to that of the second `last`, since 1970-01-01 UTC.

    Raises:
        DurationError: the zone is none, the first is after the last, or there are more than MAXIMUM_POINTS.
    """
    if abs(offset) > MAXIMUM_OFFSET:
        raise DurationError(f"an offset of {offset} minutes from UTC is more than 18 hours: no zone has that")
    if first > last:
        raise DurationError("the start is after the end: exchange them; both belong to the span")
    begin, final = (moment - (moment + offset * 60) % step.value for moment in (first, last))
    points = (final - begin) // step.value + 1
    if points > MAXIMUM_POINTS:
        raise DurationError(
            f"the span has {points:,} points of one {step.name.lower()}, more than {MAXIMUM_POINTS}: "
            "ask for a shorter span" + ("" if step is Step.DAY else " or a longer step")
        )
    return Duration(begin, points, step, offset)


def _parse(text: str, step: Step, offset: int, name: str) -> int:
    pattern, expression = _PATTERNS[step]
    found = expression.fullmatch(text)
    moment = None if found is None else _moment([int(part) for part in found.groups()])
    if moment is None:
        raise DurationError(f"{name}={text!r} is not a time at the step {step.name}: write it as {pattern}")
    if not _FIRST <= moment < _LAST:
        raise DurationError(f"{name}={text!r} is outside the years 1970 to 2099")
    return int((moment - timedelta(minutes=offset)).timestamp())


def _moment(parts: Sequence[int]) -> datetime | None:
    """Year, month, day and what is given of hour, minute and second, by a clock of UTC; None when there is no such."""
    year, month, day, hour, minute, second = (*parts, 0, 0, 0)[:6]
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
