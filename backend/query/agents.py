"""Which agents were heard lately, and what each tells of itself."""

from datetime import UTC, datetime

from backend.agents.book import SILENT_AFTER, AgentBook, HeardAgent
from backend.agents.report import Report
from backend.query.shapes import Shape


class MissingHook(Shape):
    """A hook that an agent could not attach, why, and what its logs lack without it."""

    name: str
    stage: str
    reason: str
    lost: list[str]


class Hooks(Shape):
    """How much of its node an agent sees."""

    declared: int
    attached: int
    missing: list[MissingHook]
    """Not all, where there are very many."""


class AgentLoss(Shape):
    """What an agent lost by one cause."""

    kind: str
    """`events` that were not taken from the kernel, `logs` that were given up, or `incomplete`: told with less."""
    part: str
    """Of the agent, where something is incomplete."""
    cause: str
    count: int
    """Since the agent was started."""
    per_minute: float | None
    """Between its last two reports; `null` where there are not two of one run."""


class AgentLogs(Shape):
    """The logs of an agent; with a spool, also those of its earlier runs."""

    captured: int
    delivered: int
    waiting: int


class AgentReport(Shape):
    """What an agent tells of itself."""

    told: str | None
    started: str | None
    version: str
    kernel: str
    attach_mode: str
    hooks: Hooks
    logs: AgentLogs
    losses: list[AgentLoss]
    spool_bytes: int
    resident_bytes: int


class Agent(Shape):
    """One agent."""

    node: str
    cluster: str
    first_heard: str
    last_heard: str
    silence_seconds: int
    is_silent: bool
    report: AgentReport | None
    """`null` for an agent that tells nothing of itself, as Apache SkyWalking's Rover."""


class Agents(Shape):
    """All agents that this backend heard within the hour."""

    silent_after_seconds: int
    forgotten: int
    """Agents that were silent for an hour, since the backend was started."""
    lost: dict[str, int]
    """Agents and reports that were not kept, by cause."""
    agents: list[Agent]


def agents(book: AgentBook, now: float) -> Agents:
    """The agents, by cluster and name of the node; `now` in Unix seconds."""
    return Agents(
        int(SILENT_AFTER),
        forgotten=book.forgotten,
        lost=dict(sorted(book.lost.items())),
        agents=[_agent(agent, now) for agent in book.agents()],
    )


def _agent(agent: HeardAgent, now: float) -> Agent:
    return Agent(
        node=agent.node,
        cluster=agent.cluster,
        first_heard=_time(agent.first_heard),
        last_heard=_time(agent.last_heard),
        silence_seconds=max(int(now - agent.last_heard), 0),
        is_silent=agent.is_silent(now),
        report=None if agent.report is None else _report(agent.report, agent.before),
    )


def _report(report: Report, before: Report | None) -> AgentReport:
    rates = report.rates_since(before)
    return AgentReport(
        told=_time(report.told) if report.told else None,
        started=_time(report.started) if report.started else None,
        version=report.version,
        kernel=report.kernel,
        attach_mode=report.attach_mode,
        hooks=Hooks(
            report.declared_hooks,
            report.attached_hooks,
            [MissingHook(hook.name, hook.stage, hook.reason, list(hook.lost)) for hook in report.missing_hooks],
        ),
        logs=AgentLogs(report.captured_logs, report.delivered_logs, report.waiting_logs),
        losses=[
            AgentLoss(cause.kind.value, cause.part, cause.cause, count, rates.get(cause))
            for cause, count in report.losses.items()
        ],
        spool_bytes=report.spool_bytes,
        resident_bytes=report.resident_bytes,
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
