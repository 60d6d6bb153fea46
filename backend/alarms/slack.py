"""Alarms as messages for Slack, and for what takes the same (Mattermost, Rocket.Chat).

https://api.slack.com/messaging/webhooks, https://api.slack.com/reference/block-kit/blocks
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.alarms.errors import AlarmError
from backend.alarms.hooks import Post, encoded, split
from backend.alarms.records import Notice

MAXIMUM_BLOCKS = 50
"""Blocks that a message can have."""
DEFAULT_TEMPLATE = '{"type": "section", "text": {"type": "mrkdwn", "text": ":alarm_clock: *Alarm* \\n%s"}}'
_MESSAGE = "%s"


class BlockTemplate:
    """A block of a message, with %s for what is told. Raises AlarmError when it is none."""

    def __init__(self, text: str) -> None:
        try:
            block = json.loads(text)
        except ValueError as error:
            raise AlarmError(f"the template is not JSON ({error}): write it as {DEFAULT_TEMPLATE}") from None
        if not isinstance(block, dict) or _MESSAGE not in text:
            raise AlarmError(f"the template must be one block of JSON with %s in it: write it as {DEFAULT_TEMPLATE}")
        self._block = block

    def filled(self, message: str) -> Any:  # noqa: ANN401 - JSON
        """The block that tells a message. What stands in the message cannot change the shape of the block."""
        return _filled(self._block, message)


@dataclass(frozen=True, slots=True, repr=False)
class SlackHook:
    """Addresses of channels. The end of an alarm is told where there is a template for it."""

    urls: Sequence[str]
    template: BlockTemplate
    recovery_template: BlockTemplate | None = None

    def requests(self, notices: Sequence[Notice]) -> Iterator[Post]:
        """One for each channel and as many notices as a message can have."""
        for told, template in zip(split(notices), (self.template, self.recovery_template), strict=True):
            if template is None:
                continue
            for start in range(0, len(told), MAXIMUM_BLOCKS):
                messages = [_escaped(notice.alarm.message) for notice in told[start : start + MAXIMUM_BLOCKS]]
                body = encoded(
                    {"text": "\n".join(messages), "blocks": [template.filled(message) for message in messages]}
                )
                for url in self.urls:
                    yield Post(url, body, len(messages))


def _filled(part: Any, message: str) -> Any:  # noqa: ANN401 - JSON
    match part:
        case str():
            return part.replace(_MESSAGE, message)
        case dict():
            return {key: _filled(value, message) for key, value in part.items()}
        case list():
            return [_filled(value, message) for value in part]
        case _:
            return part


def _escaped(message: str) -> str:
    """As Slack wants text that is no markup of its own."""
    return message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
