"""agent/commands/capture.py: when a step is taken, and how the wait for it ends."""

from collections.abc import Callable, Mapping

import pytest

from agent.commands import capture
from agent.commands.capture import Stop, follow, pause
from agent.config import AccessLog, Configuration, Flush
from agent.config_durations import Duration
from agent.events.fragments import Fragment
from agent.events.layout import Events
from agent.events.source import IsNew, nobody_is_new
from agent.export.accounting import Ledger
from agent.kernel.pacing import LOOK_NS
from agent.pipeline import SHORTEST_PAUSE_NS, Pipeline
from bench.agent_export import Host

LOOK = LOOK_NS / 1e9
NAME = b"x".ljust(16, b"\0")


class Silence:
    """A source without events, on a clock that passes by waiting only.

    Attributes:
        now_ns: The time.
        waits: How long each wait was.
        is_interrupted: Whether one was.
        is_over: Whether it has ended.
        happens: What happens during a wait.
    """

    def __init__(self) -> None:
        self.now_ns = 10**15
        self.waits: list[float] = []
        self.is_interrupted = self.is_over = False
        self.happens: Callable[[], object] = lambda: None

    def wait(self, seconds: float, is_new: IsNew = nobody_is_new) -> bool:
        assert (is_new(1, NAME), is_new(2, NAME)) == (False, True)
        self.waits.append(seconds)
        self.now_ns += round(seconds * 1e9)
        self.happens()
        return not self.is_over

    def interrupt(self) -> None:
        self.is_interrupted = True

    def take(self) -> Events:
        raise AssertionError

    def take_payload(self) -> list[Fragment]:
        raise AssertionError

    def mute(self, socket: int, inode: int) -> None:  # noqa: ARG002 - as EventSource has them
        raise AssertionError

    def losses(self) -> Mapping[str, int]:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


class Agent:
    """A pipeline that knows process 1, and follows silence."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, period: float) -> None:
        configuration = Configuration(access_log=AccessLog(flush=Flush(period=Duration(period))))
        self.pipeline = Pipeline(configuration, "node", 1, host=Host(), ledger=Ledger(), deliver=lambda _: None)
        self.source = Silence()
        self.pipeline.start(self.source.now_ns)
        self.pipeline.processes.seen(1, NAME)
        self.steps: list[float] = []
        monkeypatch.setattr(capture, "monotonic_ns", lambda: self.source.now_ns)

    def follow(self, stop: Stop, most: int) -> None:
        """Take steps until the end, which is asked for in the one of that number."""
        began_ns = self.source.now_ns

        def step(now_ns: int) -> None:
            self.steps.append((now_ns - began_ns) / 1e9)
            if now_ns >= self.pipeline.flush_due_ns:
                self.pipeline.flush(now_ns)
            if len(self.steps) == most:
                stop.ask()

        follow(self.source, step, stop, self.pipeline)


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(5 * LOOK, LOOK), (1.5 * LOOK, 0.75 * LOOK), (LOOK, LOOK), (LOOK / 4, LOOK / 4), (0, 0), (-LOOK, 0)],
)
def test_pauses_end_where_a_flush_is_due(left: float, seconds: float) -> None:
    assert pause(round(left * 1e9)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("period", "pause"),
    [
        (2.5 * LOOK, 2.5 / 3 * LOOK),
        (5 * LOOK, LOOK),
        (LOOK, LOOK),
        (LOOK / 2, LOOK / 2),
        (0.001, SHORTEST_PAUSE_NS / 1e9),
    ],
)
def test_a_step_comes_when_a_flush_is_due(monkeypatch: pytest.MonkeyPatch, period: float, pause: float) -> None:
    agent = Agent(monkeypatch, period)
    agent.follow(Stop(None), 6)
    # The last one comes when the end was asked for.
    assert agent.steps == pytest.approx([*(pause * number for number in range(1, 7)), pause * 6])


def test_a_wait_ends_when_the_end_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, stop = Agent(monkeypatch, LOOK), Stop(None)
    agent.source.happens = stop.ask
    agent.follow(stop, 100)
    assert agent.source.is_interrupted
    assert len(agent.source.waits) == 1
    agent.source.is_interrupted = False
    stop.ask()  # when nobody waits any more
    assert not agent.source.is_interrupted


def test_a_wait_ends_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, stop = Agent(monkeypatch, LOOK), Stop(0)
    assert stop.seconds_left == 0
    agent.follow(stop, 100)
    assert agent.source.waits == []
    assert agent.steps == [0]
    agent, stop = Agent(monkeypatch, 3 * LOOK), Stop(LOOK / 2)
    agent.source.happens = stop.ask
    agent.follow(stop, 100)
    assert all(0 <= seconds <= LOOK / 2 for seconds in agent.source.waits)


def test_a_source_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent(monkeypatch, LOOK)
    agent.source.is_over = True
    agent.follow(Stop(None), 100)
    assert len(agent.source.waits) == len(agent.steps) == 1
