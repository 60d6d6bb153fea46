"""agent/telemetry/reports.py: what an agent tells of itself, and when."""

import pytest

from agent.export.agent_report import AgentReport
from agent.export.sender import QueueFill
from agent.kernel.hook import SourceKind
from agent.kernel.hooks import HOOKS
from agent.kernel.plan import UNAVAILABLE, KernelOffer, make_plan
from agent.telemetry.reports import INTERVAL_NS, AgentReports, make_report
from agent.telemetry.usage import read_usage
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.telemetry.stand_ins import StandIn, progress

EMPTY = QueueFill(0, 0, 0, 0)


def report_of(stand_in: StandIn) -> AgentReport:
    return make_report(stand_in.parts(), told_ns=7, started_ns=3)


def test_it_says_what_the_parts_say() -> None:
    report = report_of(StandIn(noted=progress(0)))
    assert (report.told_ns, report.started_ns, report.attach_mode) == (7, 3, "auto")
    assert (report.declared_hooks, report.missing_hooks) == (len(HOOKS), ())
    assert (report.lost_events, report.lost_logs) == ({"ring_full": 9}, {})
    assert report.incomplete == {"kernel": {"payload_cut": 8}, "exchanges": {"http1_gap": 2}}
    assert (report.captured_logs, report.delivered_logs) == (55, 30)
    assert report.waiting_logs == 20 + 5  # in the queue, and before the next flush
    assert report.spool_bytes == 700
    assert report.resident_bytes > 1 << 20


def test_before_the_first_note_of_the_pipeline() -> None:
    assert report_of(StandIn()).waiting_logs == 20


def test_missing_hooks_say_why_and_what_is_lost() -> None:
    offer = KernelOffer(fentry="no BTF", kprobe="no kprobes", tracepoint="no tracefs", tracefs="", uprobe="no uprobes")
    parts = StandIn().parts()
    plan = make_plan(offer, unavailable=[HOOKS[0].name])
    parts.source.coverage.hooks = plan.hooks  # type: ignore[misc] # of a stand-in
    report = make_report(parts, told_ns=7, started_ns=3)
    assert report.declared_hooks == len(HOOKS)
    missing = {hook.name: hook for hook in report.missing_hooks}
    assert list(missing) == [planned.hook.name for planned in plan.hooks if not planned.is_attached]
    first = missing[HOOKS[0].name]
    assert (first.stage, first.lost, first.reason) == (HOOKS[0].stage.value, HOOKS[0].lost, UNAVAILABLE)
    three = {SourceKind.FENTRY, SourceKind.TRACEPOINT, SourceKind.KPROBE}
    call = next(hook for hook in HOOKS[1:] if {source.kind for source in hook.sources} == three)
    assert missing[call.name].reason == "fentry: no BTF; tracepoint: no tracefs; kprobe: no kprobes"


def test_it_is_due_at_once_and_then_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = [*read_usage()]  # of one moment: memory of the process of the tests grows when it likes
    monkeypatch.setattr("agent.telemetry.reports.read_usage", lambda: iter(usage))
    parts = StandIn().parts()
    reports = AgentReports(lambda: parts, clock_ns=lambda: 5_000_000_007)
    at = 123
    first = reports(at, alone=False)
    report = wire.EBPFAccessLogMessage.FromString(first).agentReport
    assert (report.toldAt.seconds, report.toldAt.nanos) == (5, 7)
    assert report.startedAt.seconds > 1_500_000_000
    assert reports(at + INTERVAL_NS - 1, alone=False) == b""
    assert reports(at + INTERVAL_NS, alone=False) == first
    assert reports(at + INTERVAL_NS + 1, alone=False) == b""


def test_no_stream_of_its_own_while_others_wait() -> None:
    stand_in = StandIn()
    parts = stand_in.parts()
    reports = AgentReports(lambda: parts)
    assert reports(1, alone=True) == b""  # two batches wait
    stand_in.queue = EMPTY
    assert reports(2, alone=True) != b""
    assert reports(3, alone=True) == b""
