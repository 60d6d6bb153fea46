"""Alarms as events of PagerDuty (Events API v2): https://developer.pagerduty.com/docs/events-api-v2/trigger-events/.

The id of the alarm is the key of the incident, so that what is told again belongs to it, and its end resolves it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.alarms.hooks import Post, encoded
from backend.alarms.records import Notice
from backend.alarms.webhook import message_of

URL = "https://events.pagerduty.com/v2/enqueue"
DEFAULT_TEMPLATE = "[Alarm] %s"
MAXIMUM_SUMMARY = 1_024
"""Characters of a summary."""
SEVERITIES = frozenset({"critical", "error", "warning", "info"})
_USUAL = "warning"


@dataclass(frozen=True, slots=True, repr=False)
class PagerdutyHook:
    """Integrations, by their keys."""

    keys: Sequence[str]
    template: str = DEFAULT_TEMPLATE
    url: str = URL

    def requests(self, notices: Sequence[Notice]) -> Iterator[Post]:
        """One for each integration and notice."""
        for notice in notices:
            for key in self.keys:
                yield Post(self.url, encoded(self._event(notice, key)), 1)

    def _event(self, notice: Notice, key: str) -> dict[str, object]:
        event: dict[str, object] = {"routing_key": key, "dedup_key": notice.uuid}
        if notice.over:
            return event | {"event_action": "resolve"}
        severity = notice.alarm.tags.get("level", "").lower()
        payload = {
            "summary": self.template.replace("%s", notice.alarm.message)[:MAXIMUM_SUMMARY],
            "source": notice.alarm.name,
            "severity": severity if severity in SEVERITIES else _USUAL,
            "custom_details": message_of(notice),
        }
        return event | {"event_action": "trigger", "payload": payload}
