"""Agents as a table for a terminal."""

from collections import defaultdict

from backend.query.agents import Agent, Agents, MissingHook
from backend.query.tables import Column, Kind, Listing
from backend.query.units import NOTHING, number, size

NOT_TOLD = "not told"
_MINUTE, _NAMED = 60, 5


def agents(answer: Agents) -> Listing:
    """Agents and what they tell of themselves, a row each; below, what is missing and why."""
    columns: tuple[Column, ...] = (
        ("Node", Kind.NAME),
        ("Heard", Kind.WORD),
        ("Hooks", Kind.WORD),
        ("Lost", Kind.NAME),
        *((title, Kind.DETAIL) for title in ("Logs\nsent", "Spool", "Memory", "Version", "Kernel", "Incomplete")),
    )
    return Listing(columns, [_row(agent) for agent in answer.agents], "\n".join(_notes(answer)))


def _row(agent: Agent) -> tuple[str, ...]:
    report = agent.report
    heard = f"{_ago(agent.silence_seconds)} ago" + (" SILENT" if agent.is_silent else "")
    if report is None:
        return (_name(agent), heard, NOT_TOLD, NOT_TOLD, *([NOTHING] * 6))
    hooks = report.hooks
    return (
        _name(agent),
        heard,
        f"{hooks.attached} of {hooks.declared}",
        _losses(agent, incomplete=False) or "nothing",
        number(report.logs.delivered),
        size(report.spool_bytes),
        size(report.resident_bytes),
        report.version or NOTHING,
        report.kernel or NOTHING,
        _losses(agent, incomplete=True) or "nothing",
    )


def _name(agent: Agent) -> str:
    return f"{agent.cluster}::{agent.node}" if agent.cluster else agent.node or NOTHING


def _losses(agent: Agent, *, incomplete: bool) -> str:
    """Causes with their counts, and how many a minute where it goes on."""
    if agent.report is None:
        return ""
    return ", ".join(
        f"{loss.part + ' ' if loss.part else ''}{loss.cause} {number(loss.count)}"
        + (f" ({number(loss.per_minute)}/min)" if loss.per_minute else "")
        for loss in agent.report.losses
        if (loss.kind == "incomplete") == incomplete
    )


def _notes(answer: Agents) -> list[str]:
    silent = sum(agent.is_silent for agent in answer.agents)
    heard = f"{number(len(answer.agents))} heard within the hour"
    notes = [heard + (f", {number(silent)} of them silent for {_ago(answer.silent_after_seconds)}" if silent else "")]
    lacking: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for agent in answer.agents:
        for hook in agent.report.hooks.missing if agent.report is not None else ():
            lacking[_missing(hook)].append(_name(agent))
    for (name, reason, lost), nodes in lacking.items():
        more = f" and {number(len(nodes) - _NAMED)} more" if len(nodes) > _NAMED else ""
        notes.append(f"{', '.join(nodes[:_NAMED])}{more}: no {name} ({reason}); lost: {lost}")
    notes += [f"not kept: {cause} {number(count)}" for cause, count in answer.lost.items()]
    return notes


def _missing(hook: MissingHook) -> tuple[str, str, str]:
    return hook.name, hook.reason or "no reason told", ", ".join(hook.lost) or NOTHING


def _ago(seconds: int) -> str:
    return f"{seconds} s" if seconds < 2 * _MINUTE else f"{seconds // _MINUTE} min"
