"""agent/export/agent_report.py: what is told of an agent, and that it stays small whatever there is to tell."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.agent_report import (
    CAUSES,
    LARGEST_REPORT,
    LOST_TEXTS,
    MISSING_HOOKS,
    OTHER,
    TEXT_BYTES,
    AgentReport,
    MissingHook,
    cut,
    encode_report,
)
from agent.export.heads import encode_node
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import SECOND

WHOLE = AgentReport(
    told_ns=1_800_000_000 * SECOND + 5,
    started_ns=1_700_000_000 * SECOND,
    version="1.2",
    kernel="6.1.0 x86_64",
    attach_mode="auto",
    declared_hooks=57,
    missing_hooks=(),
    lost_events={},
    lost_logs={},
    incomplete={},
    captured_logs=60,
    delivered_logs=50,
    waiting_logs=10,
    spool_bytes=700,
    resident_bytes=1 << 26,
)


def told(report: AgentReport) -> wire.PyroverAgentReport:
    return wire.EBPFAccessLogMessage.FromString(encode_report(report)).agentReport


def losses(report: AgentReport) -> list[tuple[int, str, str, int]]:
    return [(loss.kind, loss.part, loss.cause, loss.count) for loss in told(report).losses]


def test_every_field() -> None:
    missing = MissingHook("net_queue", "transmit", "this kernel has no net:net_dev_queue", ("a", "b"))
    report = told(
        replace(
            WHOLE,
            missing_hooks=(missing,),
            lost_events={"ring_full": 3},
            lost_logs={"queue_full": 4},
            incomplete={"kernel": {"payload_cut": 5}},
        )
    )
    assert (report.toldAt.seconds, report.toldAt.nanos, report.startedAt.seconds) == (1_800_000_000, 5, 1_700_000_000)
    assert (report.version, report.kernel, report.attachMode) == ("1.2", "6.1.0 x86_64", "auto")
    assert (report.declaredHooks, report.attachedHooks) == (57, 56)
    (hook,) = report.missingHooks
    assert (hook.name, hook.stage, hook.reason) == ("net_queue", "transmit", "this kernel has no net:net_dev_queue")
    assert list(hook.lost) == ["a", "b"]
    assert [(loss.kind, loss.part, loss.cause, loss.count) for loss in report.losses] == [
        (wire.LOST_EVENTS, "", "ring_full", 3),
        (wire.LOST_LOGS, "", "queue_full", 4),
        (wire.INCOMPLETE, "kernel", "payload_cut", 5),
    ]
    assert (report.capturedLogs, report.deliveredLogs, report.waitingLogs) == (60, 50, 10)
    assert (report.spoolBytes, report.residentBytes) == (700, 1 << 26)
    fields = wire.PyroverAgentReport.DESCRIPTOR.fields
    assert {field.name for field, _ in report.ListFields()} == {field.name for field in fields}


def test_it_is_one_message_with_the_node() -> None:
    node = encode_node("n", "c", (), (), addresses=(), boot_time_ns=5)
    message = wire.EBPFAccessLogMessage.FromString(node + encode_report(WHOLE))
    assert (message.node.name, message.node.clusterName, message.agentReport) == ("n", "c", told(WHOLE))


def test_what_never_happened_is_left_out() -> None:
    assert losses(replace(WHOLE, lost_events={"ring_full": 0, "in_flight_full": 1}, lost_logs={"refused": 0})) == [
        (wire.LOST_EVENTS, "", "in_flight_full", 1)
    ]


def test_causes_beyond_the_bound_are_added_up() -> None:
    counts = {f"cause {number}": number for number in range(CAUSES + 4)}  # the first never happened
    found = losses(replace(WHOLE, incomplete={"tls": counts}))
    assert len(found) == CAUSES + 1
    assert found[-1] == (wire.INCOMPLETE, "", OTHER, sum(range(CAUSES + 1, CAUSES + 4)))
    assert sum(count for _, _, _, count in found) == sum(counts.values())


def test_missing_hooks_beyond_the_bound_are_counted() -> None:
    hooks = tuple(MissingHook(f"hook {number}", "", "", ("x",) * (LOST_TEXTS + 1)) for number in range(80))
    report = told(replace(WHOLE, declared_hooks=90, missing_hooks=hooks))
    assert (report.declaredHooks, report.attachedHooks) == (90, 10)
    assert [hook.name for hook in report.missingHooks] == [f"hook {number}" for number in range(MISSING_HOOKS)]
    assert {len(hook.lost) for hook in report.missingHooks} == {LOST_TEXTS}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * TEXT_BYTES, "a" * TEXT_BYTES),
        ("a" * (TEXT_BYTES + 1), "a" * (TEXT_BYTES - 3) + "…"),
        ("ä" * TEXT_BYTES, "ä" * ((TEXT_BYTES - 3) // 2) + "…"),
        ("first\nsecond", "first"),
        ("\udce4", "?"),  # as Python reads a byte that is not UTF-8
    ],
)
def test_texts_are_cut_at_whole_characters(text: str, shown: str) -> None:
    assert cut(text) == shown


TEXTS = st.one_of(st.text(max_size=10), st.just("\N{EURO SIGN}" * 1_000))
COUNTS = st.dictionaries(st.text(max_size=5), st.just(2**64 - 1), max_size=3)


@given(TEXTS, st.integers(0, 200), COUNTS)
def test_a_report_stays_below_its_bound(text: str, number: int, counts: dict[str, int]) -> None:
    hook = MissingHook(text, text, text, (text,) * number)
    many = {f"{text[:40]}{at}": 1 for at in range(number)}
    report = replace(
        WHOLE,
        version=text,
        kernel=text,
        attach_mode=text,
        declared_hooks=number,
        missing_hooks=(hook,) * number,
        lost_events=many,
        lost_logs=many,
        incomplete={text: many, "other": counts if number < CAUSES else {}},
    )
    assert len(encode_report(report)) <= LARGEST_REPORT
