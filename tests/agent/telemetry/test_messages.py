"""agent/telemetry/messages.py: what repeats itself is counted, and each form can be read."""

import io
import json
import logging
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.messages import DIFFERENT, KINDS, PERIOD, MessageFormat, Messages, RepeatFilter
from tests.clock import Clock


def record(
    message: str, *arguments: object, name: str = "agent.some", level: int = logging.WARNING
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "file.py", 1, message, arguments, None)


def test_a_repeated_message_passes_once_a_period() -> None:
    clock = Clock(1000.0)
    repeats = RepeatFilter(clock)
    assert [repeats.filter(record("gone")) for _ in range(4)] == [True, False, False, False]
    clock.now += PERIOD - 0.01
    assert repeats.filter(record("gone")) is False
    clock.now += 0.01
    again = record("gone")
    assert repeats.filter(again) is True
    assert again.withheld == 4  # type: ignore[attr-defined] # set by the filter
    clock.now += PERIOD
    again = record("gone")
    assert repeats.filter(again) is True
    assert again.withheld == 0  # type: ignore[attr-defined] # same
    assert repeats.seen == {"info": 0, "warning": 7, "error": 0}
    assert repeats.withheld == {"info": 0, "warning": 4, "error": 0}


def test_of_one_kind_a_few_may_differ() -> None:
    repeats = RepeatFilter(Clock(1000.0))
    passed = [repeats.filter(record("no pod %s", number)) for number in range(DIFFERENT + 3)]
    assert passed == [True] * DIFFERENT + [False] * 3
    assert repeats.filter(record("no node %s", 1)) is True
    assert repeats.filter(record("no pod %s", 1, name="agent.other")) is True
    assert repeats.filter(record("no pod %s", 1, level=logging.ERROR)) is True


def test_the_kinds_that_are_remembered_are_bounded() -> None:
    repeats = RepeatFilter(Clock(1000.0))
    for number in range(KINDS + 1):
        assert repeats.filter(record(f"kind {number}")) is True
    assert repeats.filter(record("kind 1")) is False
    assert repeats.filter(record("kind 0")) is True  # it was forgotten
    assert len(repeats._kinds) == KINDS


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.floats(0, 100))))
def test_every_message_is_written_or_counted(messages: list[tuple[str, int, float]]) -> None:
    clock = Clock(1000.0)
    repeats = RepeatFilter(clock)
    written, told = 0, 0
    for kind, argument, pause in messages:
        clock.now += pause
        one = record(f"{kind} %d", argument)
        if repeats.filter(one):
            written += 1
            told += one.withheld  # type: ignore[attr-defined] # set by the filter
    assert repeats.seen["warning"] == len(messages) == written + repeats.withheld["warning"]
    assert told <= repeats.withheld["warning"]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def log(message_format: MessageFormat, stream: io.StringIO) -> Messages:
    messages = Messages(message_format, stream)
    logger = logging.getLogger("agent.some.module")
    with messages.taken():
        logger.warning("the backend %s is away", "a:1")
        logger.warning("the backend %s is away", "a:1")
        logger.debug("nobody reads this")
        try:
            int("bad")
        except ValueError:
            logger.exception("it failed")
        messages.say("kernel 6\nlost: nothing")
    logger.warning("nobody takes this any more")
    return messages


def test_lines_for_people(stream: io.StringIO) -> None:
    log("text", stream)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "pyrover-agent: warning: the backend a:1 is away"
    assert lines[1] == "pyrover-agent: error: it failed"
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-3:] == ["ValueError: invalid literal for int() with base 10: 'bad'", "kernel 6", "lost: nothing"]


def test_lines_for_programs(stream: io.StringIO) -> None:
    before = datetime.now(UTC)
    messages = log("json", stream)
    after = datetime.now(UTC)
    assert messages.fail("no kernel") == 1
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(entry["level"], entry["logger"], entry["message"]) for entry in entries]
    assert told == [
        ("warning", "agent.some.module", "the backend a:1 is away"),
        ("error", "agent.some.module", "it failed"),
        ("info", "agent", "kernel 6"),
        ("info", "agent", "lost: nothing"),
        ("error", "agent", "no kernel"),
    ]
    assert entries[1]["trace"].endswith("base 10: 'bad'")
    times = [datetime.fromisoformat(entry["time"]) for entry in entries[:-1]]
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= times[0] <= times[-1] <= after


@pytest.mark.parametrize(
    ("message_format", "text"), [("text", "gone (1 more of this kind were not written)"), ("json", '"withheld": 1')]
)
def test_how_many_were_withheld_is_said(message_format: MessageFormat, text: str, stream: io.StringIO) -> None:
    clock = Clock(1000.0)
    messages = Messages(message_format, stream)
    messages.repeats._clock = clock
    with messages.taken():
        logger = logging.getLogger("agent.other")
        logger.warning("gone")
        logger.warning("gone")
        clock.now += PERIOD
        logger.warning("gone")
    first, second = stream.getvalue().splitlines()
    assert text not in first
    assert text in second


def test_the_end_is_said(stream: io.StringIO) -> None:
    assert Messages("text", stream).fail("no kernel") == 1
    assert stream.getvalue() == "pyrover-agent: no kernel\n"


def test_the_form_may_change(stream: io.StringIO) -> None:
    messages = Messages("text", stream)
    messages.say("before")
    messages.use("json")
    messages.say("after")
    with messages.taken():
        logging.getLogger("agent.more").warning("later")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "before"
    assert [json.loads(line)["message"] for line in lines[1:]] == ["after", "later"]
