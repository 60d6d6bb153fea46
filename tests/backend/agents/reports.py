"""Reports of agents for tests, as they come by the wire."""

from protos.common.common_pb2 import Instant
from protos.ebpf.accesslog_pb2 import (
    INCOMPLETE,
    LOST_EVENTS,
    LOST_LOGS,
    PyroverAgentLoss,
    PyroverAgentReport,
    PyroverMissingHook,
)

QUEUE = PyroverMissingHook(
    name="device_queue", stage="transmit", reason="this kernel has no net:net_dev_queue", lost=["time to the queue"]
)


def agent_report(told: int, ring_full: int = 0, started: int = 1_000) -> PyroverAgentReport:
    """A report of Unix time `told`, of an agent that lost so many events."""
    losses = [
        PyroverAgentLoss(kind=LOST_EVENTS, cause="ring_full", count=ring_full),
        PyroverAgentLoss(kind=LOST_LOGS, cause="queue_full", count=4),
        PyroverAgentLoss(kind=INCOMPLETE, part="kernel", cause="payload_cut", count=5),
    ]
    return PyroverAgentReport(
        toldAt=Instant(seconds=told),
        startedAt=Instant(seconds=started),
        version="1.2.3",
        kernel="6.1.0 x86_64",
        attachMode="auto",
        declaredHooks=57,
        attachedHooks=56,
        missingHooks=[QUEUE],
        losses=losses if ring_full else losses[1:],
        capturedLogs=100,
        deliveredLogs=90,
        waitingLogs=6,
        spoolBytes=700,
        residentBytes=50 << 20,
    )


def serialised(told: int, ring_full: int = 0, started: int = 1_000) -> bytes:
    """The same, as bytes."""
    return agent_report(told, ring_full, started).SerializeToString(deterministic=True)
