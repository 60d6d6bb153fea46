"""backend/agents/report.py: what is read of a report, by hand and beside what an agent writes."""

import pytest

from agent.export.agent_report import AgentReport, encode_report
from agent.export.agent_report import MissingHook as ToldHook
from backend.agents.report import LossCause, LossKind, MissingHook, Report, read_report
from protos.common.common_pb2 import Instant
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage, PyroverAgentLoss, PyroverAgentReport
from tests.backend.agents.reports import serialised

RING = LossCause(LossKind.EVENTS, "", "ring_full")
QUEUE = LossCause(LossKind.LOGS, "", "queue_full")
CUT = LossCause(LossKind.INCOMPLETE, "kernel", "payload_cut")


def test_what_an_agent_writes_is_read() -> None:
    told = AgentReport(
        told_ns=1_800_000_000_500_000_000,
        started_ns=1_700_000_000_000_000_000,
        version="1.2",
        kernel="6.1.0 x86_64",
        attach_mode="kprobe",
        declared_hooks=57,
        missing_hooks=(ToldHook("h", "transmit", "why", ("a", "b")),),
        lost_events={"ring_full": 3},
        lost_logs={"queue_full": 4},
        incomplete={"kernel": {"payload_cut": 5}},
        captured_logs=60,
        delivered_logs=50,
        waiting_logs=10,
        spool_bytes=700,
        resident_bytes=1 << 26,
    )
    message = EBPFAccessLogMessage.FromString(encode_report(told))
    assert read_report(message.agentReport.SerializeToString()) == Report(
        told=1_800_000_000.5,
        started=1_700_000_000.0,
        version="1.2",
        kernel="6.1.0 x86_64",
        attach_mode="kprobe",
        declared_hooks=57,
        attached_hooks=56,
        missing_hooks=(MissingHook("h", "transmit", "why", ("a", "b")),),
        losses={RING: 3, QUEUE: 4, CUT: 5},
        captured_logs=60,
        delivered_logs=50,
        waiting_logs=10,
        spool_bytes=700,
        resident_bytes=1 << 26,
    )


@pytest.mark.parametrize(("seconds", "nanos"), [(-1, 0), (1 << 40, 0), (5, -1), (5, 1_000_000_000), (0, 7)])
def test_times_that_cannot_be_are_none(seconds: int, nanos: int) -> None:
    told = PyroverAgentReport(toldAt=Instant(seconds=seconds, nanos=nanos))
    assert read_report(told.SerializeToString()).told == 0


def test_losses_of_later_kinds_are_left_out_and_causes_are_added_up() -> None:
    losses = [
        PyroverAgentLoss(kind=kind, cause="x", count=2)  # type: ignore[arg-type] # of a later version
        for kind in (0, 0, 9)
    ]
    told = PyroverAgentReport(losses=losses)
    assert read_report(told.SerializeToString()).losses == {LossCause(LossKind.EVENTS, "", "x"): 4}


def test_rates() -> None:
    before, after = read_report(serialised(100, 10)), read_report(serialised(130, 25))
    assert after.rates_since(before) == {RING: 30.0, QUEUE: 0.0, CUT: 0.0}
    assert after.rates_since(read_report(serialised(100))) == {RING: 50.0, QUEUE: 0.0, CUT: 0.0}
    assert after.rates_since(None) == {}
    assert after.rates_since(after) == {}  # no time between
    assert before.rates_since(after) == {}  # the clock was set back
    assert after.rates_since(read_report(serialised(100, 10, started=999))) == {}  # another run
    assert read_report(serialised(130, 5)).rates_since(before)[RING] == 0  # counts of a spool that was lost
