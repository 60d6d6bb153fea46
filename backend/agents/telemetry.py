"""What is known of the agents, in the names under which Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.agents.book import AgentBook
from backend.agents.report import LossKind

CAUSES = ("full", "report_full", "report_large", "report_outdated")
_NODE = ("cluster", "node")


class AgentCollector(Collector):
    """Reads the book of agents. Each agent has a few series, and has them as long as it is kept."""

    def __init__(self, book: AgentBook) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        """Of the agents together, then of each."""
        agents, now = self._book.agents(), self._book.clock()
        counted = GaugeMetricFamily(
            "pyrover_backend_agents", "Agents that were heard within the hour", labels=["state"]
        )
        silent = sum(agent.is_silent(now) for agent in agents)
        counted.add_metric(["heard"], len(agents) - silent)
        counted.add_metric(["silent"], silent)
        yield counted
        yield CounterMetricFamily(
            "pyrover_backend_agents_forgotten", "Agents forgotten after an hour of silence", value=self._book.forgotten
        )
        lost = CounterMetricFamily(
            "pyrover_backend_agents_lost", "Agents and reports of them that were not kept", labels=["cause"]
        )
        for cause in CAUSES:
            lost.add_metric([cause], self._book.lost[cause])
        yield lost
        yield from self._each(now)

    def _each(self, now: float) -> Iterator[Metric]:
        silence = GaugeMetricFamily(
            "pyrover_backend_agent_silence_seconds", "Time since an agent was heard", labels=_NODE
        )
        declared = GaugeMetricFamily("pyrover_backend_agent_hooks_declared", "Hooks that an agent has", labels=_NODE)
        attached = GaugeMetricFamily(
            "pyrover_backend_agent_hooks_attached", "Hooks of an agent that are attached", labels=_NODE
        )
        losses = GaugeMetricFamily(
            "pyrover_backend_agent_losses",
            "What an agent has lost since it started: events, logs, and things told incompletely",
            labels=[*_NODE, "kind"],
        )
        for agent in self._book.agents():
            node = [agent.cluster, agent.node]
            silence.add_metric(node, max(now - agent.last_heard, 0.0))
            if (report := agent.report) is not None:
                declared.add_metric(node, report.declared_hooks)
                attached.add_metric(node, report.attached_hooks)
                for kind in LossKind:
                    total = sum(count for cause, count in report.losses.items() if cause.kind is kind)
                    losses.add_metric([*node, kind.value], total)
        yield from (silence, declared, attached, losses)
