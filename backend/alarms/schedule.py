"""Which minutes are to be checked.

A minute is checked DELAY seconds after its end, when what agents send of it is nearly always stored. What comes later
still counts for the minutes after it: each reads its whole period anew.
"""

DELAY = 15.0
"""Seconds from the end of a minute until it is checked, as in Apache SkyWalking."""
MAXIMUM_BEHIND = 10
"""Most minutes that are caught up after a pause; those before them are left out."""


def due(checked: int | None, now: float) -> tuple[range, int]:
    """The minutes that are to be checked now, and how many before them are left out.

    Args:
        checked: the minute that was checked last; None when none was, then only the latest is due.
        now: seconds since 1970-01-01 UTC.
    """
    latest = int((now - DELAY) // 60) - 1
    if checked is None:
        return range(latest, latest + 1), 0
    first = max(checked + 1, latest - MAXIMUM_BEHIND + 1)
    return range(first, max(first, latest + 1)), first - checked - 1
