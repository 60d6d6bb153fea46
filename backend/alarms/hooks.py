"""Who is told of alarms: a hook makes requests of notices, and says nothing of when they are sent."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.alarms.records import Notice
from backend.alarms.sending import post


class Request(Protocol):
    """What is sent at once. Its address and what else it holds may be secrets: what is shown of it says neither."""

    @property
    def notices(self) -> int:
        """How many are told by it."""
        ...

    async def send(self, seconds: float) -> None:
        """Send it, in that time at most. Raises SendingError."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Post:
    """A POST of JSON over HTTP."""

    url: str
    body: bytes
    notices: int
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, seconds: float) -> None:
        """As Request.send."""
        await post(self.url, self.body, self.headers, seconds)


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
