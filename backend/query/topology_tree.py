"""Who calls whom, drawn as trees for a terminal: callers with those they call below them, busiest first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.query import shapes
from backend.query.tables import Column, Kind, Listing, caption
from backend.query.units import NOTHING, duration, number, share, size_per_second

DEEPEST = 8
"""Calls between a line and the service at its tree's root. What is called further away begins a tree of its own."""
MOST_LINES = 500
"""Of all trees; nobody reads more."""
FAILING, TROUBLED = 0.95, 0.99
"""Below which share of calls that succeed a service is failing, and below which it has trouble; as in the console."""
ABOVE, BELOW = " (above)", " (below)"
"""Behind a service that calls others, and is drawn with them elsewhere."""

_FORK, _LAST, _PASS, _BLANK = "├─ ", "└─ ", "│  ", "   "


@dataclass(frozen=True, slots=True)
class Health:
    """What a service answered in the span, from all its callers. None is no data."""

    calls_per_minute: float | None = None
    time: float | None = None
    """Mean, in nanoseconds."""
    success: float | None = None
    """The share of calls that did not fail, from 0 to 1."""

    @property
    def mark(self) -> str:
        """What stands before the name of a service that is not well."""
        if self.success is None or self.success >= TROUBLED:
            return ""
        return "▲ " if self.success >= FAILING else "✖ "


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a service at a root, or one that is called by what is above it."""

    guide: str
    node: str
    call: shapes.Call | None
    note: str = ""


def tree(answer: shapes.Topology, health: Mapping[str, Health]) -> Listing:
    """The trees as a listing.

    Args:
        answer: Services and their calls.
        health: By id of a service.
    """
    names = {node.id: node.name if node.observed else f"{node.name} (no agent)" for node in answer.nodes}
    shown = lines(answer.calls)
    rows = [_row(line, names, health.get(line.node, Health())) for line in shown[:MOST_LINES]]
    notes = [caption(answer.span)]
    if len(shown) > MOST_LINES:
        notes.append(f"{len(shown) - MOST_LINES:,} further lines; a pipe or --json gets all calls")
    marks = {health.get(line.node, Health()).mark for line in shown[:MOST_LINES]}
    told = {"✖ ": f"✖ less than {share(FAILING)} succeed", "▲ ": f"▲ less than {share(TROUBLED)} succeed"}
    if legend := ", ".join(text for mark, text in told.items() if mark in marks):
        notes.append(legend)
    columns: tuple[Column, ...] = (
        ("Service", Kind.TREE),
        *((title, Kind.NUMBER) for title in ("Calls\n/min", "Mean\ntime", "Success")),
        *((title, Kind.DETAIL) for title in ("Failed\nconnects", "Sent", "Received", "Writes\n/min", "Protocol")),
    )
    return Listing(columns, rows, "\n".join(notes))


def _row(line: Line, names: Mapping[str, str], health: Health) -> tuple[str, ...]:
    call = line.call
    return (
        f"{line.guide}{health.mark}{names[line.node]}{line.note}",
        number(health.calls_per_minute),
        duration(health.time),
        share(health.success),
        *(
            (
                number(call.connects_failed),
                size_per_second(call.rates.bytes_sent_per_second),
                size_per_second(call.rates.bytes_received_per_second),
                number(call.rates.writes_per_minute),
                ", ".join(call.protocols) or NOTHING,
            )
            if call is not None
            else ("", "", "", "", "")
        ),
    )


def lines(calls: Sequence[shapes.Call]) -> list[Line]:
    """Every call on one line, each below its caller.

    Trees begin at services that nobody else calls, then at the busiest of what is left, until all is drawn. A service
    that calls others is drawn with them once; where it is called otherwise a note says where to look.
    """
    called = _by_source(calls)
    sent = {source: sum(map(_volume, out)) for source, out in called.items()}
    inner = {call.target for call in calls if call.target != call.source}
    busiest = sorted(called, key=lambda node: (-sent[node], node))
    drawn: set[str] = set()
    found: list[Line] = []
    for root in [*(node for node in busiest if node not in inner), *(node for node in busiest if node in inner)]:
        if root not in drawn:
            found += _below(root, called, drawn)
    return found


def _below(root: str, called: Mapping[str, Sequence[shapes.Call]], drawn: set[str]) -> Iterator[Line]:
    """The lines of one tree."""
    yield Line("", root, None)
    drawn.add(root)
    waiting = _children(called[root], "")
    while waiting:
        call, guide, below = waiting.pop()
        further = called.get(call.target, ())
        depth = len(guide) // len(_FORK)
        if not further or call.target == call.source:
            note = ""
        elif call.target in drawn:
            note = ABOVE
        elif depth >= DEEPEST:
            note = BELOW
        else:
            note = ""
            drawn.add(call.target)
            waiting += _children(further, below)
        yield Line(guide, call.target, call, " (itself)" if call.target == call.source else note)


def _children(calls: Sequence[shapes.Call], before: str) -> list[tuple[shapes.Call, str, str]]:
    """Calls with the guides of their own lines and of those below them, the last first."""
    last = len(calls) - 1
    return [
        (call, before + (_LAST if place == last else _FORK), before + (_BLANK if place == last else _PASS))
        for place, call in enumerate(calls)
    ][::-1]


def _by_source(calls: Iterable[shapes.Call]) -> dict[str, list[shapes.Call]]:
    called: dict[str, list[shapes.Call]] = {}
    for call in sorted(calls, key=lambda call: (-_volume(call), call.id)):
        called.setdefault(call.source, []).append(call)
    return called


def _volume(call: shapes.Call) -> float:
    return (call.rates.bytes_sent_per_second or 0) + (call.rates.bytes_received_per_second or 0)
