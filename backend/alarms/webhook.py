"""Alarms as a JSON array, with the fields of Apache SkyWalking's AlarmMessage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.alarms.hooks import Post, encoded, split
from backend.alarms.names import BY_TITLE
from backend.alarms.records import Notice


@dataclass(frozen=True, slots=True, repr=False)
class Webhook:
    """Addresses that are told of alarms, and those that are told when they are over."""

    urls: Sequence[str] = ()
    recovery_urls: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def requests(self, notices: Sequence[Notice]) -> Iterator[Post]:
        """One for each address."""
        for told, urls in zip(split(notices), (self.urls, self.recovery_urls), strict=True):
            if told:
                body = encoded([message_of(notice) for notice in told])
                for url in urls:
                    yield Post(url, body, len(told), self.headers)


def message_of(notice: Notice) -> dict[str, object]:
    """An AlarmMessage, or with `recoveryTime` an AlarmRecoveryMessage; times are milliseconds since 1970-01-01 UTC."""
    alarm = notice.alarm
    scope = BY_TITLE[alarm.scope]
    message: dict[str, object] = {
        "scopeId": scope.number,
        "scope": scope.catalog,
        "name": alarm.name,
        "uuid": notice.uuid,
        "id0": alarm.id,
        "id1": alarm.destination_id,
        "ruleName": alarm.rule,
        "alarmMessage": alarm.message,
        "startTime": alarm.start,
        "tags": [{"key": key, "value": value} for key, value in sorted(alarm.tags.items())],
    }
    return message | ({"recoveryTime": alarm.recovery} if notice.over else {})
