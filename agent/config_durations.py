"""Lengths of time as people write them: 500ms, 10s, 1m, 1h30m."""

import re
from typing import Final

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as "500ms" or "1m30s".

    Raises:
        ValueError: `text` is not a duration.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValueError(f"{text!r} is not a duration: write it like 500ms, 10s, 1m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """A text that parse_duration reads as so many seconds, to the millisecond, in the largest unit that does."""
    milliseconds = round(seconds * 1000)
    for unit in ("h", "m", "s"):
        length = round(_UNITS[unit] * 1000)
        if milliseconds >= length and milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


class Duration(float):
    """Seconds; in a configuration file a text such as "500ms" or a plain number of seconds."""

    __slots__ = ()

    ALLOWED: Final = "a length of time longer than nothing, such as 500ms, 10s, 1m or 1h30m, or a number of seconds"

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """A duration from a configuration value.

        Raises:
            ValueError: `value` is not a positive duration.
        """
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a duration: write it like 500ms, 10s, 1m or 1h30m")  # noqa: TRY004
        seconds = parse_duration(value) if isinstance(value, str) else float(value)
        if not 0 < seconds < float("inf"):
            raise ValueError(f"a duration must be longer than nothing, not {value!r}")
        return cls(seconds)
