"""Answers as tables for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import compress

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.query import shapes
from backend.query.expressions import Expression
from backend.query.mqe.answer import Value, Values
from backend.query.mqe.duration import parse_offset
from backend.query.mqe.results import ResultType
from backend.query.times import format_minute
from backend.query.units import NOTHING, duration, number, share, size, size_per_second, value_of_unit


class Kind(Enum):
    """What a column holds."""

    NAME = "names: folded when there is too little room"
    TREE = "names with lines that join them: cut when there is too little room"
    WORD = "short words: never folded"
    NUMBER = "numbers: never folded, at the right"
    DETAIL = "numbers or short words that a narrow terminal goes without"


Column = tuple[str, Kind]
"""Title, in one or two lines."""

_TRAFFIC: tuple[Column, ...] = (
    *(
        (title, Kind.NUMBER)
        for title in ("Reads\n/min", "Writes\n/min", "In", "Out", "Read\ntime", "Write\ntime", "Failures")
    ),
    ("Connects\n/min", Kind.DETAIL),
)
_PIPE_WIDTH = 100_000  # columns: nothing is cut or wrapped when no person reads it
_ERRORS = 4
"""First digit of the statuses that say that something went wrong."""
_NAME_WIDTH = 16
"""Columns that a name gets before details are left out."""
_TREE_WIDTH = 30
"""The same of a tree."""
_BETWEEN = 2
"""Columns that a border and a blank take beside each column."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of text under titles."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str | None

    def fitted(self, width: int) -> "Listing":
        """The same without the last details that a terminal of this width has no room for; the caption says so."""
        widths = [self._width(place) for place in range(len(self.columns))]
        chosen = [True] * len(self.columns)
        for place in reversed(range(len(self.columns))):
            if sum(compress(widths, chosen)) + _BETWEEN * sum(chosen) <= width:
                break
            chosen[place] = self.columns[place][1] is not Kind.DETAIL
        if all(chosen):
            return self.cut_to(width)
        titles = [title.replace("\n/", "/").replace("\n", " ") for title, _ in self.columns]
        told = ", ".join(title for title, kept in zip(titles, chosen, strict=True) if not kept)
        caption = f"{self.caption}\n" if self.caption else ""
        return Listing(
            tuple(compress(self.columns, chosen)),
            [tuple(compress(row, chosen)) for row in self.rows],
            f"{caption}left out, for a wider terminal: {told}",
        ).cut_to(width)

    def cut_to(self, width: int) -> "Listing":
        """The same with names of a tree cut to what the other columns leave; a folded tree has no lines any more."""
        kinds = [kind for _, kind in self.columns]
        if Kind.TREE not in kinds:
            return self
        place = kinds.index(Kind.TREE)
        others = sum(self._width(other) for other in range(len(kinds)) if other != place)
        room = max(width - others - _BETWEEN * len(kinds), _NAME_WIDTH)
        if all(cell_len(row[place]) <= room for row in self.rows):
            return self
        rows = [(*row[:place], _cut(row[place], room), *row[place + 1 :]) for row in self.rows]
        return Listing(self.columns, rows, self.caption)

    def _width(self, place: int) -> int:
        title, kind = self.columns[place]
        widest = max(map(cell_len, (*title.split("\n"), *(row[place] for row in self.rows))))
        least = {Kind.NAME: _NAME_WIDTH, Kind.TREE: _TREE_WIDTH}
        return min(widest, least.get(kind, widest))


def is_read_by_a_person() -> bool:
    """Whether standard output is a terminal."""
    return Console().is_terminal


def show(shown: Listing | str) -> None:
    """Print to standard output: framed and coloured for a person, plain and never cut for a pipe."""
    console = Console(highlight=False)
    if isinstance(shown, str):
        console.print(shown, soft_wrap=True, markup=False)
    elif console.is_terminal:
        console.print(_table(shown.fitted(console.width)), markup=False)
    else:
        table = _table(shown)
        table.box = None
        table.padding = (0, 2, 0, 0)
        for column in table.columns:
            column.header = str(column.header).replace("\n/", "/").replace("\n", " ")
        Console(highlight=False, width=_PIPE_WIDTH, color_system=None).print(table, markup=False)


def services(answer: shapes.Services) -> Listing:
    """Services and what they did."""
    columns = (("Service", Kind.NAME), ("Instances", Kind.DETAIL), *_TRAFFIC)
    rows = [(service.name, number(service.instances), *_traffic(service.traffic)) for service in answer.services]
    return Listing(columns, rows, caption(answer.span))


def instances(answer: shapes.Instances) -> Listing:
    """Instances of a service and what they did."""
    rows = [(instance.name, *_traffic(instance.traffic)) for instance in answer.instances]
    return Listing((("Instance", Kind.NAME), *_TRAFFIC), rows, caption(answer.span))


def endpoints(answer: shapes.Endpoints) -> Listing:
    """Endpoints and their calls, a row each."""
    columns: tuple[Column, ...] = (
        *((("Service", Kind.NAME),) if answer.service is None else ()),
        ("Endpoint", Kind.NAME),
        *((title, Kind.NUMBER) for title in ("Calls\n/min", "Success", "Mean\ntime")),
        *((title, Kind.DETAIL) for title in ("Request\nbody", "Response\nbody")),
        *((f"{digit}xx", Kind.DETAIL if digit < _ERRORS else Kind.NUMBER) for digit in range(1, 6)),
    )
    rows = [
        (
            *((endpoint.service,) if answer.service is None else ()),
            endpoint.name,
            number(endpoint.rates.calls_per_minute),
            share(endpoint.rates.success),
            duration(endpoint.means.time),
            size(endpoint.means.request_body_bytes),
            size(endpoint.means.response_body_bytes),
            *(number(getattr(endpoint.totals, f"status_{digit}xx")) for digit in range(1, 6)),
        )
        for endpoint in answer.endpoints
    ]
    shown = f", the {len(rows):,} of {answer.known:,} endpoints with most calls" if answer.known > len(rows) else ""
    return Listing(columns, rows, caption(answer.span) + shown)


def topology(answer: shapes.Topology) -> Listing:
    """Calls, a row each."""
    nodes = {node.id: node for node in answer.nodes}
    columns: tuple[Column, ...] = (
        ("From", Kind.NAME),
        ("To", Kind.NAME),
        ("Protocol", Kind.WORD),
        *((title, Kind.NUMBER) for title in ("Sent", "Received", "Failures")),
        ("Connects\n/min", Kind.DETAIL),
        ("Seen\nby", Kind.DETAIL),
    )
    rows = [
        (
            nodes[call.source].name,
            nodes[call.target].name,
            ", ".join(call.protocols),
            size_per_second(call.rates.bytes_sent_per_second),
            size_per_second(call.rates.bytes_received_per_second),
            number(call.connects_failed),
            number(call.rates.connects_per_minute),
            "both" if len(call.detect_points) > 1 else "".join(call.detect_points),
        )
        for call in answer.calls
    ]
    return Listing(columns, rows, caption(answer.span))


def names(answer: shapes.MetricNames) -> Listing:
    """Metrics that can be asked for."""
    rows = [(metric.name, metric.scope, metric.unit) for metric in answer.metrics]
    return Listing((("Metric", Kind.NAME), ("Scope", Kind.NAME), ("Unit", Kind.WORD)), rows, f"{len(rows)} metrics")


def metrics(answer: shapes.Metrics) -> Listing:
    """One row per bucket, one column per series."""
    titles = [f"{series.name} {series.label}" if series.label else series.name for series in answer.series]
    columns: list[Column] = [("Time (UTC)", Kind.WORD), *((title, Kind.NUMBER) for title in titles)]
    rows = [
        (
            _time(points[0].time) + (" (not over)" if points[0].time == answer.incomplete_from else ""),
            *(value_of_unit(point.value, series.unit) for point, series in zip(points, answer.series, strict=True)),
        )
        for points in zip(*(series.points for series in answer.series), strict=True)
    ]
    return Listing(tuple(columns), rows, f"one row per {answer.step}")


def expression(answer: Expression) -> Listing:
    """One row per bucket or entity, one column per series; or one row per number when these do not go together."""
    results = answer.result.results
    titles = [_labels(series) for series in results]
    head: Column = ("Of" if answer.result.type == ResultType.SORTED_LIST else f"Time (UTC{answer.zone})", Kind.NAME)
    caption = f"one value per {answer.step}" if answer.result.type == ResultType.TIME_SERIES_VALUES else None
    points = [[_point(value, answer) for value in series.values] for series in results]
    if points and all(of == points[0] for of in points) and answer.result.type != ResultType.SINGLE_VALUE:
        columns: list[Column] = [head, *((title or "Value", Kind.NUMBER) for title in titles)]
        rows = [
            (point, *(series.values[row].value or NOTHING for series in results)) for row, point in enumerate(points[0])
        ]
        return Listing(tuple(columns), rows, caption)
    rows = [
        (title, point, value.value or NOTHING)
        for title, series, of in zip(titles, results, points, strict=True)
        for value, point in zip(series.values, of, strict=True)
    ]
    shown = (any(title for title, _, _ in rows), any(point != NOTHING for _, point, _ in rows), True)
    columns = list(compress((("Labels", Kind.NAME), head, ("Value", Kind.NUMBER)), shown))
    return Listing(tuple(columns), [tuple(compress(row, shown)) for row in rows], caption)


def _labels(series: Values) -> str:
    return ", ".join(f"{label.key}={label.value}" for label in series.metric.labels)


def _point(value: Value, answer: Expression) -> str:
    """What a value is of."""
    if value.id is None:
        return NOTHING
    if value.owner is not None:
        return value.id
    minute = int(value.id) // 60_000
    shown = _time(format_minute(minute + parse_offset(answer.zone)))
    return shown + (" (not over)" if format_minute(minute) == answer.incomplete_from else "")


def status(answer: shapes.Status) -> Listing:
    """What was received and lost, a row each."""
    rows = [("Up", f"{answer.uptime_seconds:,} s")]
    rows += [("Logs received", number(answer.logs.received)), ("Logs stored", number(answer.logs.stored))]
    rows += [(f"Logs dropped: {cause}", number(count)) for cause, count in sorted(answer.logs.dropped.items())]
    rows += [(f"Logs refused: {cause}", number(count)) for cause, count in sorted(answer.logs.refused.items())]
    rows += [("Messages received", number(answer.messages.received))]
    rows += [(f"Messages dropped: {cause}", number(count)) for cause, count in sorted(answer.messages.dropped.items())]
    return Listing((("What", Kind.NAME), ("Since start", Kind.NUMBER)), rows, None)


def _traffic(traffic: shapes.Traffic) -> tuple[str, ...]:
    rates, means = traffic.rates, traffic.means
    return (
        number(rates.reads_per_minute),
        number(rates.writes_per_minute),
        size_per_second(rates.bytes_read_per_second),
        size_per_second(rates.bytes_written_per_second),
        duration(means.read_time),
        duration(means.write_time),
        number(traffic.totals.connects_failed),
        number(rates.connects_per_minute),
    )


def _cut(text: str, room: int) -> str:
    cut = Text(text)
    cut.truncate(room, overflow="ellipsis")
    return cut.plain


def _table(listing: Listing) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption=listing.caption,
        caption_justify="left",
        caption_style="dim",
    )
    for title, kind in listing.columns:
        table.add_column(
            title,
            justify="left" if kind in {Kind.NAME, Kind.TREE, Kind.WORD} else "right",
            no_wrap=kind is not Kind.NAME,
            overflow="fold",
        )
    for row in listing.rows:
        # Names come from outside: they are text, never markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def caption(span: shapes.Span) -> str:
    """Which time an answer is of."""
    observed = number(round(span.observed_minutes, 1))
    return f"{_time(span.start)} to {_time(span.end)} UTC, {observed} minutes observed"


def _time(text: str) -> str:
    return text[:16].replace("T", " ")
