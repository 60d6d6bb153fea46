"""What becomes of a metric, in words: from the logs that feed it to the value that is read."""

from collections.abc import Mapping, Sequence

from backend.metrics.windows import Step
from backend.oal.attributes import EventAttribute
from backend.oal.compiler import Program
from backend.oal.definitions import Definition
from backend.oal.functions import BY_LABEL, EXTREMES, LABELLED, Function
from backend.oal.logs import DURATION
from backend.oal.sources import EVENTS
from backend.oal.values import Condition, Value, shown

_ADDED: Mapping[Function, str] = {
    Function.COUNT: "summation: logs",
    Function.CPM: "summation: logs",
    Function.SUM: "summation: the sum of {value}",
    Function.LONG_AVG: "summation: the sum of {value}; count: logs that have it",
    Function.DOUBLE_AVG: "summation: the sum of {value}; count: logs that have it",
    Function.PERCENT: "summation: logs with {matches}; count: all logs",
    Function.RATE: "summation: logs with {matches}; count: logs with {against}",
    Function.APDEX: "summation: twice the satisfied and once the tolerated calls; count: all calls",
    Function.PERCENTILE: "summation: calls in a bucket of {value}, with the bucket as label",
    Function.INDEXED_PERCENTILE: "summation: calls in a bucket of {value}, with the bucket as label",
    Function.HISTOGRAM: "summation: calls in a step of {value}, with where it begins as label",
    Function.LABEL_COUNT: "summation: logs with a {label}, with it as label",
    Function.LABEL_AVG: "summation: the sum of {value}, count: logs that have it, with {label} as label",
    Function.MAX: "least, greatest, total and count of {value}",
    Function.MIN: "least, greatest, total and count of {value}",
    Function.MAX_DOUBLE: "least, greatest, total and count of {value}",
    Function.MIN_DOUBLE: "least, greatest, total and count of {value}",
}
_READ: Mapping[Function, str] = {
    Function.COUNT: "summation",
    Function.CPM: "summation / {minutes}",
    Function.SUM: "summation",
    Function.LONG_AVG: "summation / count, cut to a whole number",
    Function.DOUBLE_AVG: "summation / count",
    Function.PERCENT: "summation x 10,000 / count, cut",
    Function.RATE: "summation x 10,000 / count, cut; no value when count is 0",
    Function.APDEX: "summation x 5,000 / count, cut",
    Function.PERCENTILE: "the buckets with the calls at 50, 75, 90, 95 and 99 %",
    Function.INDEXED_PERCENTILE: "the buckets with the calls at 50, 75, 90, 95 and 99 %",
    Function.HISTOGRAM: "summation, for each step",
    Function.LABEL_COUNT: "summation, for each label",
    Function.LABEL_AVG: "summation / count, cut, for each label; 1 for what is between 0 and 1",
    Function.MAX: "greatest, cut to a whole number",
    Function.MIN: "least, cut to a whole number",
    Function.MAX_DOUBLE: "greatest",
    Function.MIN_DOUBLE: "least",
}
_NAMES = {kind: name for name, kind in EVENTS.items()}


def explain(definition: Definition, *, zeros_are_values: bool = False) -> list[tuple[str, list[str]]]:
    """The plan of a metric, as headings, each with its lines.

    Args:
        definition: the metric.
        zeros_are_values: as Program.
    """
    program = Program([definition], zeros_are_values=zeros_are_values)
    position, source = definition.statement.position, definition.source.name
    parts = [
        ("defined", [str(position)]),
        ("source", [f"{source}: a row for each minute and {_entity(source)}"]),
        (
            "logs",
            [", ".join(_NAMES[kind] for kind in sorted(definition.events)) or "none: no log has all that it reads"],
        ),
    ]
    if definition.conditions:
        parts.append(("that meet", [_shown(condition) for condition in definition.conditions]))
    if definition.value is not None:
        parts.append(("value", [_described(definition.value, zeros_are_values=zeros_are_values)]))
    for kind, columns in program.columns.items():
        named = [column if column != DURATION else "(duration of the log)" for column in columns]
        if named:
            parts.append((f"columns of {_NAMES[kind]}", named))
    for heading, terms in program.stages.items():
        parts.append((heading, list(terms)))
    parts.append(("stored", _stored(definition)))
    parts += [(f"read by {step.name.lower()}", [_read(definition, step)]) for step in Step]
    return parts


def _entity(source: str) -> str:
    words = {"Service": "service", "ServiceInstance": "instance of a service", "Endpoint": "endpoint"}
    name = source.removeprefix("K8S")
    if name.endswith("Relation"):
        return f"pair of {words[name.removesuffix('Relation')]}s, of which one called the other".replace(
            "instance of a services", "instances"
        )
    return words[name]


def _shown(condition: Condition) -> str:
    return f"{condition.value.path} {condition.operator.value} {shown(condition.literal)}"


def _described(value: Value, *, zeros_are_values: bool) -> str:
    attribute = value.attribute
    notes = []
    if value.is_parsed:
        notes.append("read as a number; other text does not count")
    elif isinstance(attribute, EventAttribute):
        if attribute.unit != 1:
            notes.append(f"added up in units of which {attribute.unit:,} are one of the value's")
        if attribute.known:
            notes.append("counts only where it is known")
        elif attribute.stage and not zeros_are_values:
            what = "0" if attribute.is_duration else "0 where all of its layer is 0"
            notes.append(f"{what} was not measured, and does not count")
    return f"{value.path} ({'; '.join(notes)})" if notes else value.path


def _stored(definition: Definition) -> list[str]:
    arguments = definition.arguments
    names = {
        "value": definition.value.path if definition.value else "",
        "label": arguments.label.path if arguments.label else "",
        "matches": _shown(arguments.matches[0]) if arguments.matches else "",
        "against": _shown(arguments.matches[-1]) if arguments.matches else "",
    }
    function = definition.function
    lines = ["as a measure" if function in EXTREMES else "as a metric", _ADDED[function].format(**names)]
    if function in BY_LABEL:
        lines.append(f"at most {arguments.maximum_labels} labels of an entity in a day")
    if function not in LABELLED:
        lines.append("no label")
    return lines


def _read(definition: Definition, step: Step) -> str:
    function = definition.function
    if function is Function.SUM and definition.name.endswith("_cpm"):
        function = Function.CPM  # as its name says: backend/metrics/windows.py
    text = _READ[function].format(minutes=int(step)).replace(" / 1,", ",").removesuffix(" / 1")
    return text if definition.unit == 1 else f"{text} (a value is {definition.unit:,} of what is stored)"


def lines(parts: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The plan as text, headings before their lines."""
    width = max(len(heading) for heading, _ in parts)
    return [
        f"{heading if not number else '':<{width}}  {line}"
        for heading, of_heading in parts
        for number, line in enumerate(of_heading)
    ]
