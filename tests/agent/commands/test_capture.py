"""What an agent tells of itself, beside what it prints at its end, where nothing else happens that it would see."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.commands.capture import Stop
from agent.commands.credentials import Credentials
from agent.commands.live import Figures
from agent.commands.run import Capture
from agent.config import AccessLog, Backend, Configuration, Core, Flush
from agent.config_durations import Duration
from agent.kernel.source import KernelSource
from agent.telemetry.messages import Messages, RepeatFilter
from agent.telemetry.status import AgentStatus
from tests.agent.export.collector import Collector
from tests.e2e.programs import ATTACH
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel

CONNECTIONS = 7
TALK = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listener:
    for line in sys.stdin:
        for _ in range(int(line)):
            with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
                client.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                server.recv(100)
                server.sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
                client.recv(100)
        print("done", flush=True)
"""


class Talker:
    """A process that connects to itself when it is told to."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TALK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def talk(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{CONNECTIONS}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def talker() -> Iterator[Talker]:
    one = Talker()
    yield one
    one.process.kill()
    one.process.communicate()


@contextmanager
def running(configuration: Configuration, talker: Talker) -> Iterator[tuple[Capture, Callable[[], Figures]]]:
    """The agent in a thread of its own, which sees the talker alone; and what ends it and gives its final figures."""
    stop, finals = Stop(None), list[Figures]()
    with ExitStack() as stack:
        source = stack.enter_context(KernelSource.open(attach=ATTACH, only_processes=[talker.process.pid]))
        transport = Credentials(configuration.core.backend).open_transport()
        stack.callback(transport.close)
        capture = Capture(
            configuration, source, transport, spool=None, conntrack=None, tls=None, pods=None, reporter=None
        )
        thread = threading.Thread(target=lambda: finals.append(capture.run(stop, Messages("text"), None)))

        def end() -> Figures:
            stop.ask()
            thread.join(PATIENCE)
            assert not thread.is_alive()
            return finals[0]

        thread.start()
        try:
            yield capture, end
        finally:
            stop.ask()
            thread.join(PATIENCE)


def samples(status: AgentStatus) -> dict[str, dict[str, float]]:
    """Figures by name, and then by the last label, which is the cause where there is one."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(status.metrics().text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[next(reversed(sample.labels.values()), "")] = sample.value
    return found


def is_all_delivered(found: dict[str, dict[str, float]], least: int) -> bool:
    captured = found["pyrover_agent_logs_captured_total"][""]
    return captured == found["pyrover_agent_logs_delivered_total"][""] >= least


def check(found: dict[str, dict[str, float]], final: Figures) -> None:
    """Fail unless the figures are those of the end."""
    single = {name: series[""] for name, series in found.items() if set(series) == {""}}
    assert single["pyrover_agent_events_total"] == final.events
    assert single["pyrover_agent_connections"] == final.connections
    assert single["pyrover_agent_logs_captured_total"] == final.captured
    assert single["pyrover_agent_logs_delivered_total"] == final.delivered
    assert single["pyrover_agent_queue_logs"] + single["pyrover_agent_pending_logs"] == final.waiting
    lost = {**found["pyrover_agent_events_lost_total"], **found["pyrover_agent_logs_lost_total"]}
    assert {cause: count for cause, count in lost.items() if count} == {
        cause: count for cause, count in final.losses.items() if count
    }
    incomplete = {cause.partition(": ")[2] or cause: count for cause, count in final.incomplete.items()}
    assert {cause: count for cause, count in found["pyrover_agent_incomplete_total"].items() if count} == {
        cause: count for cause, count in incomplete.items() if count
    }
    assert found["pyrover_agent_connection_troubles_total"] == dict(final.troubles)


@pytest.mark.parametrize("away", [False, True], ids=["delivered", "lost"])
def test_figures_are_those_of_the_end(talker: Talker, *, away: bool) -> None:
    collector, status = Collector(), AgentStatus("auto", RepeatFilter())
    with collector.serve() as port:
        configuration = Configuration(
            core=Core(backend=Backend(addr=f"127.0.0.1:{1 if away else port}")),
            access_log=AccessLog(flush=Flush(period=Duration(0.1))),
        )
        with running(configuration, talker) as (capture, end):
            status.begin(capture.parts)
            until(lambda: capture.parts.notes.latest is not None)
            talker.talk()
            # Of each end of a connection its begin, its end, a read and a write.
            least = 2 * CONNECTIONS * 4
            until(lambda: samples(status)["pyrover_agent_logs_captured_total"][""] >= least)
            if away:
                until(lambda: samples(status)["pyrover_agent_send_attempts_total"]["retry"] >= 1)
                assert status.healthz().status == 503
            else:
                # All of it: at its end the agent has five seconds for what is left, which are little where it stalls.
                until(lambda: is_all_delivered(samples(status), least))
                until(lambda: status.healthz().status == 200)
            final = end()
            status.begin(capture.parts)  # so that the figures are read anew
            check(samples(status), final)
    assert final.captured >= least
    assert (final.losses.get("shutdown", 0) > 0) is away
    assert (final.delivered > 0) is not away


def test_questions_are_answered_while_the_pipeline_is_held_up(talker: Talker) -> None:
    """The pipeline's thread waits for something; others do not wait for it."""
    collector, status = Collector(), AgentStatus("auto", RepeatFilter())
    held, go_on = threading.Event(), threading.Event()
    with collector.serve() as port:
        configuration = Configuration(core=Core(backend=Backend(addr=f"127.0.0.1:{port}")))
        with running(configuration, talker) as (capture, end):
            step = capture._pipeline.step

            def hold(*arguments: Any) -> None:  # noqa: ANN401 - those of a step
                held.set()
                assert go_on.wait(PATIENCE)
                step(*arguments)

            status.begin(capture.parts)
            until(lambda: capture.parts.notes.latest is not None)
            capture._pipeline.step = hold  # type: ignore[method-assign, assignment] # a step that takes long
            try:
                assert held.wait(PATIENCE)
                first = samples(status)["pyrover_agent_step_age_seconds"][""]
                until(lambda: samples(status)["pyrover_agent_step_age_seconds"][""] > first)
                assert status.livez().status == 200
            finally:
                go_on.set()
            end()
