"""What hooks make of notices: exact bodies."""

import json
from dataclasses import replace

from backend.alarms.hooks import Hook, Post
from backend.alarms.pagerduty import PagerdutyHook
from backend.alarms.records import Notice
from backend.alarms.slack import DEFAULT_TEMPLATE, BlockTemplate, SlackHook
from backend.alarms.webhook import Webhook
from backend.query.graphql.alarms import Alarm

ALARM = Alarm(
    id="a",
    destination_id="b",
    scope="ServiceRelation",
    name="web to api",
    rule="slow_rule",
    layer="K8S_SERVICE",
    message='<web> to "api" %s is slow',
    start=1_800_000_000_000,
    tags={"level": "CRITICAL", "a": "é"},
)
BEGUN = Notice("id-1", ALARM)
ENDED = Notice("id-1", replace(ALARM, recovery=1_800_000_060_000))
MESSAGE = {
    "scopeId": 4,
    "scope": "SERVICE_RELATION",
    "name": "web to api",
    "uuid": "id-1",
    "id0": "a",
    "id1": "b",
    "ruleName": "slow_rule",
    "alarmMessage": '<web> to "api" %s is slow',
    "startTime": 1_800_000_000_000,
    "tags": [{"key": "a", "value": "é"}, {"key": "level", "value": "CRITICAL"}],
}


def bodies(hook: Hook, *notices: Notice) -> list[tuple[str, object, int]]:
    posts: list[tuple[str, object, int]] = []
    for request in hook.requests(notices):
        assert isinstance(request, Post)
        posts.append((request.url, json.loads(request.body), request.notices))
    return posts


def test_a_webhook_gets_an_array_and_ends_go_where_they_are_wanted() -> None:
    hook = Webhook(["http://one", "http://two"], ["http://end"], {"A": "b"})
    assert bodies(hook, BEGUN, ENDED, BEGUN) == [
        ("http://one", [MESSAGE, MESSAGE], 2),
        ("http://two", [MESSAGE, MESSAGE], 2),
        ("http://end", [MESSAGE | {"recoveryTime": 1_800_000_060_000}], 1),
    ]
    assert all(request.headers == {"A": "b"} for request in hook.requests([BEGUN]))
    assert bodies(Webhook(["http://one"]), ENDED) == []


def test_a_message_cannot_change_the_shape_of_a_block() -> None:
    hook = SlackHook(["http://slack"], BlockTemplate(DEFAULT_TEMPLATE))
    text = '&lt;web&gt; to "api" %s is slow'
    block = {"type": "section", "text": {"type": "mrkdwn", "text": f":alarm_clock: *Alarm* \n{text}"}}
    assert bodies(hook, BEGUN, ENDED) == [("http://slack", {"text": text, "blocks": [block]}, 1)]


def test_a_message_of_slack_has_at_most_fifty_blocks() -> None:
    hook = SlackHook(["http://slack"], BlockTemplate('{"a": ["%s", 1]}'), BlockTemplate('{"over": "%s"}'))
    found = bodies(hook, *[BEGUN] * 51, ENDED)
    assert [count for _, _, count in found] == [50, 1, 1]
    assert found[2][1]["blocks"] == [{"over": '&lt;web&gt; to "api" %s is slow'}]  # type: ignore[index] # JSON


def test_pagerduty_gets_an_event_for_each_and_its_end_resolves_it() -> None:
    hook = PagerdutyHook(["k1", "k2"], "[x] %s", "http://pager")
    trigger = {
        "routing_key": "k1",
        "dedup_key": "id-1",
        "event_action": "trigger",
        "payload": {
            "summary": '[x] <web> to "api" %s is slow',
            "source": "web to api",
            "severity": "critical",
            "custom_details": MESSAGE,
        },
    }
    resolve = {"routing_key": "k2", "dedup_key": "id-1", "event_action": "resolve"}
    assert bodies(hook, BEGUN, ENDED) == [
        ("http://pager", trigger, 1),
        ("http://pager", trigger | {"routing_key": "k2"}, 1),
        ("http://pager", resolve | {"routing_key": "k1"}, 1),
        ("http://pager", resolve, 1),
    ]


def test_a_summary_is_cut_and_an_unknown_level_is_a_warning() -> None:
    long = Notice("id-2", replace(ALARM, message="x" * 2_000, tags={"level": "odd"}))
    ((_, event, _),) = bodies(PagerdutyHook(["k"]), long)
    payload = event["payload"]  # type: ignore[index] # JSON
    assert (payload["summary"], payload["severity"]) == ("[Alarm] " + "x" * 1_016, "warning")


def test_nothing_shows_secrets() -> None:
    for shown in (Webhook(["s3cret"], headers={"A": "s3cret"}), PagerdutyHook(["s3cret"])):
        assert "s3cret" not in repr(shown)
        assert "s3cret" not in repr(list(shown.requests([BEGUN])))
