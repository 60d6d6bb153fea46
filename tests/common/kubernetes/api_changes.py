"""Changes of objects, as who watches some of them is told."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.common.kubernetes.api_kinds import (
    Object,
)


@dataclass(frozen=True)
class Change:
    version: int
    kind: str
    type: str
    object: Object
    before: Object | None


def as_seen(change: Change, selector: Callable[[Object], bool]) -> str | None:
    """The type of a change for who sees only selected objects."""
    before = change.before is not None and selector(change.before)
    after = change.type != "DELETED" and selector(change.object)
    if before and not after:
        return "DELETED"
    if after:
        return "MODIFIED" if before else "ADDED"
    return None
