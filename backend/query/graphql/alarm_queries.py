"""Questions for alarms."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.entities.ids import endpoint_id, instance_id, service_id
from backend.query.graphql.alarms import Alarm, AlarmQuery
from backend.query.graphql.context import Context
from backend.query.graphql.inputs import SpanText, page
from backend.query.graphql.questions import Answer
from backend.query.mqe.reader import Entity


def get_alarm(
    context: Context,
    *,
    duration: SpanText,
    paging: Mapping[str, Any],
    scope: str | None = None,
    keyword: str | None = None,
    tags: Sequence[Mapping[str, str | None] | None] | None = None,
) -> dict[str, object]:
    """Alarms of a scope, by a part of their messages and by tags."""
    asked = AlarmQuery(
        *_milliseconds(context, duration),
        page=page(paging),
        scope=None if scope == "All" else scope,
        keyword=keyword or "",
        tags=_tags(tags),
    )
    return _answer(context, asked)


def query_alarms(context: Context, *, condition: Mapping[str, Any]) -> dict[str, object]:
    """Alarms by what they are of, their rules, messages and tags."""
    asked = AlarmQuery(
        *_milliseconds(context, condition["duration"]),
        page=page(condition["paging"]),
        layer=condition.get("layer") or None,
        rules=frozenset(condition.get("rule_names") or ()),
        keyword=condition.get("keyword") or "",
        tags=_tags(condition.get("tags")),
        entities=frozenset(
            identity for entity in condition.get("entities") or () if (identity := _identity(entity)) is not None
        ),
    )
    return _answer(context, asked)


def tag_names(context: Context, *, duration: SpanText) -> Sequence[str]:
    """Names of tags of alarms in a span."""
    return context.sources.alarms.tag_names(*_milliseconds(context, duration))


def tag_values(context: Context, *, tag_key: str, duration: SpanText) -> Sequence[str]:
    """Values of a tag of alarms in a span."""
    return context.sources.alarms.tag_values(tag_key, *_milliseconds(context, duration))


def alarm_shape(alarm: Alarm) -> dict[str, object]:
    """An alarm as it is answered."""
    return {
        "start_time": alarm.start,
        "recovery_time": alarm.recovery,
        "scope": alarm.scope,
        "id": alarm.id,
        "name": alarm.name,
        "message": alarm.message,
        "events": (),
        "tags": [{"key": name, "value": value} for name, value in sorted(alarm.tags.items())],
        "snapshot": {"expression": alarm.expression, "metrics": alarm.metrics},
    }


def _answer(context: Context, asked: AlarmQuery) -> dict[str, object]:
    found = context.sources.alarms.find(asked)
    return {"msgs": [alarm_shape(alarm) for alarm in found.alarms], "total": found.total}


def _milliseconds(context: Context, duration: SpanText) -> tuple[int, int]:
    seconds = duration.seconds(context.sources.offset)
    return seconds.start * 1_000, seconds.stop * 1_000 - 1


def _tags(tags: Sequence[Mapping[str, str | None] | None] | None) -> frozenset[tuple[str, str]]:
    return frozenset((str(tag["key"]), tag.get("value") or "") for tag in tags or () if tag is not None)


def _identity(entity: Entity) -> str | None:
    """The id of the most particular thing that an entity names."""
    if entity.service is None:
        return None
    service = service_id(entity.service, normal=entity.normal)
    if entity.instance is not None:
        return instance_id(service, entity.instance)
    return service if entity.endpoint is None else endpoint_id(service, entity.endpoint)


QUERIES: Mapping[str, Answer] = {
    "getAlarm": get_alarm,
    "queryAlarms": query_alarms,
    "queryAlarmTagAutocompleteKeys": tag_names,
    "queryAlarmTagAutocompleteValues": tag_values,
}
"""By operation."""
