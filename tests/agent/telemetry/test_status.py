"""agent/telemetry/status.py: what is answered before, while and after an agent runs."""

import threading
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.export.accounting import Loss
from agent.telemetry.health import STUCK_SECONDS
from agent.telemetry.messages import RepeatFilter
from agent.telemetry.progress import Progress
from agent.telemetry.status import AgentStatus
from tests.agent.telemetry.stand_ins import StandIn, progress
from tests.waiting import until


def figures(status: AgentStatus) -> dict[str, float]:
    """Each sample by its name and values of labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(status.metrics().text)
        for sample in family.samples
    }


NOW = 1_000_000_000_000


def now(age: float = 0.0) -> Progress:
    return progress(NOW - int(age * 1e9))


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> AgentStatus:
    """At a moment that does not pass."""
    monkeypatch.setattr("agent.telemetry.status._monotonic_ns", lambda: NOW)
    return AgentStatus("auto", RepeatFilter())


def test_before_there_are_parts(status: AgentStatus) -> None:
    answer = status.healthz()
    assert (answer.status, answer.text) == (
        503,
        "not ready\n[-] hooks: not attached yet: the programs are being loaded\n",
    )
    assert (status.livez().status, status.livez().text) == (200, "alive\n")
    found = figures(status)
    assert found["pyrover_agent_ready"] == 0
    assert found["process_threads"] >= 1
    assert not any(name.startswith("pyrover_agent_events") for name in found)


def test_the_figures_of_the_parts(status: AgentStatus) -> None:
    status.begin(StandIn(noted=now(2)).parts())
    found = figures(status)
    assert status.healthz().status == 200
    assert {
        "pyrover_agent_ready": 1,
        "pyrover_agent_events_total": 100,
        "pyrover_agent_events_lost_total ring_full": 9,
        "pyrover_agent_logs_captured_total": 60,
        "pyrover_agent_logs_delivered_total": 30,
        "pyrover_agent_logs_withdrawn_total": 5,
        "pyrover_agent_pending_logs": 5,
        "pyrover_agent_queue_logs": 20,
        "pyrover_agent_queue_bytes": 1000,
        "pyrover_agent_queue_batches": 2,
        "pyrover_agent_spool_bytes": 700,
        "pyrover_agent_spool_limit_bytes": 256 << 20,
        "pyrover_agent_spool_failures_total batch": 11,
        "pyrover_agent_spool_failures_total ledger": 12,
        "pyrover_agent_queue_limit_logs": 200_000,
        "pyrover_agent_send_attempts_total retry": 3,
        "pyrover_agent_send_seconds_total": 1.5,
        "pyrover_agent_batches_delivered_total": 4,
        "pyrover_agent_delivered_bytes_total": 4000,
        "pyrover_agent_backend_failures_total a:1": 3,
        "pyrover_agent_backend_moves_total": 2,
        "pyrover_agent_backend_connections_total a:1": 4,
        "pyrover_agent_incomplete_total kernel payload_cut": 8,
        "pyrover_agent_incomplete_total exchanges http1_gap": 2,
        "pyrover_agent_connection_troubles_total packages_dropped": 6,
        "pyrover_agent_connections": 7,
        "pyrover_agent_connections_evicted_total": 1,
        "pyrover_agent_processes": 3,
        "pyrover_agent_processes_evicted_total": 2,
        "pyrover_agent_conversations": 4,
    }.items() <= found.items()
    assert {name for name in found if name.startswith("pyrover_agent_logs_lost")} == {
        f"pyrover_agent_logs_lost_total {cause}" for cause in Loss
    }
    assert found["pyrover_agent_step_age_seconds"] == 2


def test_a_hook_without_a_source_is_0(status: AgentStatus) -> None:
    status.begin(StandIn(attached=1, noted=now()).parts())
    hooks = [value for name, value in figures(status).items() if name.startswith("pyrover_agent_hook_attached")]
    assert hooks.count(1) == 1
    assert len(hooks) > 50


def test_what_has_got_stuck(status: AgentStatus) -> None:
    status.begin(StandIn(noted=now(STUCK_SECONDS - 10)).parts())
    assert (status.healthz().status, status.livez().status) == (503, 200)
    status.begin(StandIn(noted=now(STUCK_SECONDS + 1)).parts())
    assert (status.healthz().status, status.livez().status) == (503, 503)
    assert status.livez().text == "stuck: no events were taken for 61 s\n"


def test_figures_are_read_a_few_times_a_second_at_most(status: AgentStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 50.0
    monkeypatch.setattr("agent.telemetry.status.time.monotonic", lambda: moment)
    stand_in = StandIn(noted=now())
    status.begin(stand_in.parts())
    assert len({status.metrics().text for _ in range(5)}) == 1
    assert stand_in.asked == 1
    moment += 0.25
    status.metrics()
    assert stand_in.asked == 2


def test_parts_that_have_ended_are_not_asked(status: AgentStatus) -> None:
    stand_in = StandIn(noted=now())
    status.begin(stand_in.parts())
    status.end()
    assert figures(status)["pyrover_agent_ready"] == 0
    assert stand_in.asked == 0


def test_parts_do_not_end_while_they_are_asked(status: AgentStatus) -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Slow(StandIn):
        def losses(self) -> dict[str, int]:
            asked.set()
            assert go_on.wait(60)
            return {}

    def started(target: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=target)
        thread.start()
        return thread

    status.begin(Slow(noted=now()).parts())
    asking = started(status.metrics)
    assert asked.wait(60)
    ending = started(status.end)
    until(status._lock.locked)
    assert status._parts is not None
    go_on.set()
    for thread in (asking, ending):
        thread.join(60)
    assert status._parts is None
