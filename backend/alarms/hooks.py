"""Who is told of alarms: a hook makes HTTP requests of notices, and says nothing of how they are sent."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.alarms.records import Notice


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A POST of JSON. Its address and headers may hold secrets: what is shown of it says neither."""

    url: str
    body: bytes
    notices: int
    """How many are told by it."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Hook(Protocol):
    """Somebody who is told."""

    def requests(self, notices: Sequence[Notice]) -> Iterable[Request]:
        """What to send. Notices that the hook is not for are left out."""
        ...


def encoded(value: object) -> bytes:
    """JSON in UTF-8, as short as it can be written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def split(notices: Sequence[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Those of alarms, and those of alarms that are over."""
    return [notice for notice in notices if not notice.over], [notice for notice in notices if notice.over]
