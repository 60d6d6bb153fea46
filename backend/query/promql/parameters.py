"""Parameters of questions, from the address or the body of a request."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import promql_parser

from backend.query.promql.budget import MAXIMUM_POINTS, MAXIMUM_SECONDS
from backend.query.promql.errors import wrong
from backend.query.promql.evaluator import Range
from backend.query.promql.modifiers import FIRST_TIME, LAST_TIME

MAXIMUM_BODY = 1024 * 1024
"""Most bytes of a body."""
MAXIMUM_FIELDS = 1_000
"""Most parameters of a request."""

_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?", re.ASCII)


class Parameters:
    """What was asked.

    Args:
        query: The part of the address after the question mark.
        body: A form, or nothing.
        now: Seconds since 1970-01-01 UTC.
    """

    def __init__(self, query: str, body: str, now: float) -> None:
        self.now = now
        self._values: dict[str, list[str]] = {}
        try:
            # What the body says comes first, as in Prometheus.
            pairs = [
                pair
                for text in (body, query)
                for pair in parse_qsl(text, keep_blank_values=True, max_num_fields=MAXIMUM_FIELDS, errors="strict")
            ]
        except ValueError as error:
            raise wrong(f"the parameters cannot be read: {error}; percent-encode them as UTF-8") from None
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str:
        """A parameter that is needed. Raises PromqlError."""
        found = self._values.get(name, [""])[0]
        if not found:
            raise wrong(f"the parameter {name} is missing")
        return found

    def several(self, name: str) -> Sequence[str]:
        """A parameter that may be there several times."""
        return [value for each in (name, f"{name}[]") for value in self._values.get(each, [])]

    def time(self, name: str, default: float) -> int:
        """A time, in milliseconds since 1970-01-01 UTC. Raises PromqlError."""
        text = self._values.get(name, [""])[0]
        seconds = _seconds(text) if text else default
        if seconds is None or not FIRST_TIME <= seconds <= LAST_TIME:
            raise wrong(f"{name}={text!r} is no time from 1970 to 2099: write seconds since 1970, or as RFC 3339 does")
        return round(seconds * 1000)

    def instant(self) -> Range:
        """The one time asked about. Raises PromqlError."""
        moment = self.time("time", self.now)
        return Range(moment, moment)

    def span(self, default: float) -> tuple[int, int]:
        """First and last millisecond asked about; the `default` seconds before now where they are not said."""
        start, end = self.time("start", self.now - default), self.time("end", self.now)
        if end < start:
            raise wrong("the end is before the start: exchange them")
        return start, end

    def range(self) -> Range:
        """The times asked about. Raises PromqlError."""
        for name in ("start", "end"):
            self.one(name)
        start, end = self.span(0)
        step = _duration(self.one("step"), "step")
        if step < 1:
            raise wrong("step is not longer than nothing: write seconds, or a duration such as 1m")
        points = (end - start) // step + 1
        if points > MAXIMUM_POINTS:
            raise wrong(f"the range has {points:,} times, more than {MAXIMUM_POINTS:,}: let the step be longer")
        return Range(start, end, step)

    def timeout(self) -> float:
        """Seconds that the answer may take. Raises PromqlError."""
        text = self._values.get("timeout", [""])[0]
        return _duration(text, "timeout") / 1000 if text else MAXIMUM_SECONDS

    def limit(self) -> int | None:
        """Most entries of a list; None for all. Raises PromqlError."""
        text = self._values.get("limit", [""])[0]
        if text and not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - fits 64 bits
            raise wrong(f"limit={text!r} is not a whole number of entries")
        return int(text or 0) or None


def _seconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        try:
            return float(text)
        except ValueError:
            return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _duration(text: str, name: str) -> int:
    """Milliseconds. Raises PromqlError."""
    try:
        seconds = float(text) if _NUMBER.fullmatch(text) else promql_parser.parse_duration(text).total_seconds()
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds <= LAST_TIME:
        raise wrong(f"{name}={text!r} is not a duration: write seconds, or a duration such as 30s or 1h30m")
    return round(seconds * 1000)
