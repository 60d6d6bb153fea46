"""The wall clock is set while the agent runs: times on the wire are those of the clock as it is at each flush."""

import pytest

from agent.events.layout import EventKind
from tests.agent.synthetic import SECOND, event
from tests.agent.test_pipeline import Agent

BOOT = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    "step", [3_600 * SECOND, -86_400 * SECOND, 1, -1], ids=["hour", "day back", "tick", "tick back"]
)
def test_a_step_of_the_clock_counts_from_the_next_flush_on(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened before the step and is told after it has the new clock's time; no duration knows of the step."""
    agent = Agent()
    agent.pipeline.start(0)
    begins = (10, 20, 30)
    for number, begin in enumerate(begins):
        wall = BOOT + step * (number > 0)
        monkeypatch.setattr(agent.host, "boot_time_ns", lambda wall=wall: wall)
        accepted = event(EventKind.ACCEPT, inode=number + 1, at=begin * SECOND, end=begin * SECOND + 7)
        agent.pipeline.step(accepted, (begin + 1) * SECOND)
        agent.pipeline.flush((begin + 1) * SECOND)
    told = []
    boot = 0
    for message in agent.messages():
        if message.HasField("node"):
            boot = message.node.bootTime.seconds * SECOND + message.node.bootTime.nanos
        for log in message.kernelLogs:
            start, end = log.accept.startTime.offset.offset, log.accept.endTime.offset.offset
            told.append((boot + start, end - start))
    assert told == [
        (BOOT + 10 * SECOND, 7),
        (BOOT + step + 20 * SECOND, 7),
        (BOOT + step + 30 * SECOND, 7),
    ]
