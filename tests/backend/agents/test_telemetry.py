"""backend/agents/telemetry.py: what Prometheus reads of the agents."""

from prometheus_client import CollectorRegistry

from backend.agents.book import FORGOTTEN_AFTER, SILENT_AFTER, AgentBook
from backend.agents.telemetry import CAUSES, AgentCollector
from backend.ingest.batch import Node
from tests.backend.agents.reports import serialised


def test_every_figure() -> None:
    now = 1_000.0
    book = AgentBook(maximum=2, clock=lambda: now)
    registry = CollectorRegistry()
    registry.register(AgentCollector(book))

    def figure(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"pyrover_backend_{name}", labels)

    book.hear(Node("a", "shop", 0, {}), serialised(100, 3))
    now += SILENT_AFTER
    book.hear(Node("rover", "", 0, {}), None)
    book.hear(Node("c", "", 0, {}), None)
    assert (figure("agents", state="heard"), figure("agents", state="silent")) == (1, 1)
    assert {cause: figure("agents_lost_total", cause=cause) for cause in CAUSES} == {
        **dict.fromkeys(CAUSES, 0),
        "full": 1,
    }
    of_a = {"cluster": "shop", "node": "a"}
    assert figure("agent_silence_seconds", **of_a) == SILENT_AFTER
    assert (figure("agent_hooks_declared", **of_a), figure("agent_hooks_attached", **of_a)) == (57, 56)
    assert [figure("agent_losses", **of_a, kind=kind) for kind in ("events", "logs", "incomplete")] == [3, 4, 5]
    assert figure("agent_silence_seconds", cluster="", node="rover") == 0
    assert figure("agent_hooks_attached", cluster="", node="rover") is None
    now += FORGOTTEN_AFTER
    assert figure("agents_forgotten_total") == 2
    assert figure("agent_silence_seconds", **of_a) is None
