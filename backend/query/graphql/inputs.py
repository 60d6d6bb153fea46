"""What arguments of questions become: spans of time, ids of entities, pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ariadne import EnumType, InputType
from ariadne.types import SchemaBindable

from backend.entities.ids import endpoint_id, instance_id, service_id
from backend.query.errors import QueryError
from backend.query.mqe.duration import DurationError, Step, parse_duration
from backend.query.mqe.reader import Entity

MAXIMUM_PAGE_SIZE = 1_000
"""Most alarms of one answer."""
CONJECTURED = "VIRTUAL_"
"""How the names of layers begin whose services are only conjectured."""


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes since 1970-01-01 UTC, both inclusive."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SpanText:
    """A Duration as it was asked for, by the server's clock."""

    start: str
    end: str
    step: Step

    def seconds(self, offset: int) -> range:
        """The seconds since 1970-01-01 UTC of the span, by clocks `offset` minutes ahead of UTC.

        Raises:
            DurationError: an end is not written as the step says.
            QueryError: the start is after the end.
        """
        # An end is a bucket: the span goes from the begin of the first to the end of the last. Here it may be of any
        # length, for nothing is answered by the bucket.
        first = parse_duration(self.start, self.start, self.step, offset)
        try:
            last = parse_duration(self.end, self.end, self.step, offset)
        except DurationError as error:
            raise DurationError(f"end={str(error).removeprefix('start=')}") from None
        if first.first > last.first:
            raise QueryError("the start of the duration is after its end", "exchange them; both belong to the span")
        return range(first.first, last.first + self.step.value)

    def minutes(self, offset: int) -> Span:
        """The minutes of the span. Raises as seconds() does."""
        seconds = self.seconds(offset)
        return Span(seconds.start // 60, (seconds.stop - 1) // 60)


ALWAYS = Span(0, (1 << 31) - 1)
"""All minutes that a store can have."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a long list: `limit` items after the first `offset`."""

    offset: int
    limit: int


def page(values: Mapping[str, Any]) -> Page:
    """A Pagination. Raises QueryError."""
    number, size = values.get("page_num") or 1, values["page_size"]
    if number < 1 or not 1 <= size <= MAXIMUM_PAGE_SIZE:
        raise QueryError(
            f"there is no page {number} of {size} items",
            f"pages are counted from 1, and have at most {MAXIMUM_PAGE_SIZE:,} items",
        )
    return Page((number - 1) * size, size)


def _span(values: dict[str, Any]) -> SpanText:
    return SpanText(values["start"], values["end"], values["step"])


def _entity(values: dict[str, Any]) -> Entity:
    # Clients leave `normal` out, or say null, where they do not know: then it is a service that reports itself.
    return Entity(
        service=values.get("service_name"),
        normal=values.get("normal") is not False,
        instance=values.get("service_instance_name"),
        endpoint=values.get("endpoint_name"),
        destination_service=values.get("dest_service_name"),
        destination_normal=values.get("dest_normal") is not False,
        destination_instance=values.get("dest_service_instance_name"),
        destination_endpoint=values.get("dest_endpoint_name"),
    )


def _service(values: dict[str, Any]) -> str:
    return service_id(values["service_name"], normal=not (values.get("layer") or "").startswith(CONJECTURED))


def _instance(values: dict[str, Any]) -> str:
    return instance_id(_service(values), values["instance_name"])


def _endpoint(values: dict[str, Any]) -> str:
    return endpoint_id(_service(values), values["endpoint_name"])


INPUTS: tuple[SchemaBindable, ...] = (
    EnumType("Step", Step),
    InputType("Duration", _span),
    InputType("Entity", _entity),
    # Conditions are the ids of what they name.
    InputType("ServiceCondition", _service),
    InputType("InstanceCondition", _instance),
    InputType("EndpointCondition", _endpoint),
)
"""How inputs of the schema are read; all others are dictionaries."""
