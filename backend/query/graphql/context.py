"""What questions are answered from, and how much one request may take of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.query.catalog import Catalog
from backend.query.errors import QueryError
from backend.query.graphql.alarms import AlarmBook
from backend.query.graphql.inputs import Span, SpanText
from backend.query.graphql.service_book import ServiceBook
from backend.query.graphql.templates import TemplateStore
from backend.query.mqe.duration import Duration, parse_duration
from backend.query.mqe.shared_series import SharedSeries
from backend.storage.interface import Retention, Storage

MAXIMUM_SECONDS = 30.0
"""Longest time that one request may take: no question is begun after it, nor a further part of a long one."""
MAXIMUM_VALUES = 250_000
"""Most numbers in one answer."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What all requests are answered from."""

    storage: Storage
    services: ServiceBook
    catalog: Catalog
    alarms: AlarmBook
    templates: TemplateStore
    retention: Retention
    clock: Callable[[], float]
    """Seconds since 1970-01-01 UTC."""
    offset: int
    """Minutes that the server's zone is ahead of UTC."""


@dataclass(slots=True)
class Context:
    """One request. For one thread."""

    sources: Sources
    timer: Callable[[], float] = time.monotonic
    """Seconds that never go back."""
    series: SharedSeries | None = None
    """What its expressions share with each other, and with those of other requests."""
    _deadline: float = field(init=False)
    _values: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._deadline = self.timer() + MAXIMUM_SECONDS

    def check_time(self) -> None:
        """Raise QueryError when the time of the request is over."""
        if self.timer() > self._deadline:
            raise QueryError(
                f"the request took longer than {MAXIMUM_SECONDS:.0f} seconds", "ask for less in one request"
            )

    def take(self, values: int) -> None:
        """Count numbers of the answer. Raises QueryError when they are too many."""
        self._values += values
        if self._values > MAXIMUM_VALUES:
            raise QueryError(
                f"the answer has more than {MAXIMUM_VALUES:,} values",
                "ask for fewer expressions in one request, or for a longer step",
            )

    def span(self, text: SpanText | None) -> Span:
        """Minutes of a duration. Raises DurationError and QueryError."""
        if text is None:
            raise QueryError("a duration is needed here", "give the argument duration a start, an end and a step")
        return text.minutes(self.sources.offset)

    def duration(self, text: SpanText) -> Duration:
        """Buckets of a duration. Raises DurationError."""
        return parse_duration(text.start, text.end, text.step, self.sources.offset)
