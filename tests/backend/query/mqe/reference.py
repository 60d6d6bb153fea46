"""A second opinion on expressions: slow, one number at a time, and sharing no code with the product.

Expressions are tuples, (what, ...), and results are lists of (labels, [(point, number or None), ...]). write() makes
text of an expression, with no more parentheses than the precedence of operators needs.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

Labels = tuple[tuple[str, str], ...]
Row = tuple[Labels, list[tuple[Any, float | None]]]
Data = Mapping[str, Mapping[Labels, Mapping[int, float]]]
"""By metric, labels and start of bucket; a metric without labels has the labels ()."""
Tops = Mapping[str, Mapping[str, Mapping[int, float]]]
"""By metric, entity and start of bucket."""

LEVELS = [{"&&", "||"}, {"==", "!=", "<", ">", "<=", ">="}, {"+", "-"}, {"*", "/", "%"}]
PLAIN = {"avg", "count", "latest", "sum", "max", "min", "abs", "ceil", "floor"}
DAY = 86_400


class Sorted(list[tuple[Any, float | None]]):
    """Values over time that are no longer in the order of time."""


class RefusedError(Exception):
    """The expression has no meaning."""


@dataclass
class Answer:
    kind: str  # single, series or list
    rows: list[Row]
    truth: bool = False

    @property
    def labelled(self) -> bool:
        return not self.rows or any(labels for labels, _ in self.rows)


# --- writing


def level_of(operator: str) -> int:
    return next(level for level, operators in enumerate(LEVELS) if operator in operators)


def write(expression: tuple[Any, ...], outer: int = 0) -> str:
    what, *rest = expression
    match what:
        case "number":
            return str(rest[0])
        case "metric":
            name, conditions = rest
            inside = ", ".join(f"{label}='{','.join(values)}'" for label, values in conditions)
            return f"{name}{{{inside}}}" if conditions else name
        case "binary":
            operator, left, right = rest
            level = level_of(operator)
            # Operators of one level go from left to right.
            text = f"{write(left, level)} {operator} {write(right, level + 1)}"
            return f"({text})" if level < outer else text
        case "relabels":
            operand, old, old_values, new, new_values = rest
            return f"relabels({write(operand)}, {old}='{','.join(old_values)}', {new}='{','.join(new_values)}')"
        case "aggregate_labels":
            operand, function, names = rest
            return f"aggregate_labels({write(operand)}, {function}{'(' + ', '.join(names) + ')' if names else ''})"
        case _:
            return f"{what}({', '.join(text for argument in rest for text in arguments(argument))})"


def arguments(argument: Any) -> list[str]:  # noqa: ANN401 - an expression, several, a word, a number or nothing
    if isinstance(argument, tuple):
        return [write(argument)]
    if isinstance(argument, list):
        return [text for one in argument for text in arguments(one)]
    return [] if argument is None else [str(argument)]


# --- evaluating


def number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def guarded(calculate: Callable[[], float]) -> float | None:
    try:
        return number(float(calculate()))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None


OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": math.fmod,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "&&": lambda a, b: a == 1 and b == 1,
    "||": lambda a, b: a == 1 or b == 1,
}


def operate(operator: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    return guarded(lambda: OPERATIONS[operator](left, right))


def in_order(numbers: Iterable[float]) -> float:
    """The sum as it is when each number is added to those before; sum() of newer Pythons is more exact than that."""
    total = 0.0
    for value in numbers:
        total += value
    return total


def exact_sum(numbers: Iterable[float]) -> float | None:
    return guarded(lambda: float(sum(map(Fraction, numbers))))


def aggregated(function: str, row: list[tuple[Any, float | None]]) -> tuple[Any, float | None]:
    """Point and number."""
    present = [(point, value) for point, value in row if value is not None]
    if function == "count":
        return None, float(len(present))
    if not present:
        return None, None
    match function:
        case "latest":
            return present[-1]
        case "max":
            return next(pair for pair in present if pair[1] == max(value for _, value in present))
        case "min":
            return next(pair for pair in present if pair[1] == min(value for _, value in present))
    total = exact_sum(value for _, value in present)
    if function == "avg" and total is not None:
        total /= len(present)
    return None, total


def rounded(value: float, places: int) -> float:
    # Numbers from 2^52 on have no decimal places.
    if abs(value) * 10**places >= 2**52:
        return value
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def natural(text: str) -> list[Any]:
    return [(int(part), part) if part.isdigit() else part for part in re.split("([0-9]+)", text)]


class Reference:
    """Evaluates over buckets that start at `start`, `start + step`, ..."""

    def __init__(self, data: Data, tops: Tops, start: int, points: int, step: int) -> None:
        self._data = data
        self._tops = tops
        self._buckets = [start + number * step for number in range(points)]
        self._step = step

    def evaluate(self, expression: tuple[Any, ...]) -> Answer:
        what, *rest = expression
        if what in PLAIN:
            return self._plain(what, self.evaluate(rest[0]))
        return getattr(self, f"_{what}")(*rest)  # type: ignore[no-any-return] # one method per kind

    def _number(self, value: float) -> Answer:
        return Answer("single", [((), [(None, float(value))])])

    def _metric(self, name: str, conditions: list[tuple[str, list[str]]], shift: int = 0) -> Answer:
        if name not in self._data:
            raise RefusedError("unknown")
        rows: list[Row] = [
            (labels, [(bucket, known.get(bucket + shift)) for bucket in self._buckets])
            for labels, known in self._data[name].items()
        ]
        for label, values in reversed(conditions):
            if rows and all(label not in dict(labels) for labels in self._data[name]):
                raise RefusedError("label")
            # In the order in which the values are asked for.
            rows = [row for value in values for row in rows if dict(row[0]).get(label) == value]
        return Answer("series", rows)

    def _plain(self, function: str, operand: Answer) -> Answer:
        if function in {"abs", "ceil", "floor"}:
            known: dict[str, Callable[[float], float]] = {"abs": abs, "ceil": math.ceil, "floor": math.floor}
            through = known[function]
            rows = [
                (labels, type(row)((point, None if value is None else float(through(value))) for point, value in row))
                for labels, row in operand.rows
            ]
            return Answer(operand.kind, rows)
        if function == "latest" and operand.kind != "series":
            raise RefusedError("latest")
        truth = operand.truth and function in {"latest", "max", "min"}
        return Answer("single", [(labels, [aggregated(function, row)]) for labels, row in operand.rows], truth)

    def _round(self, operand: tuple[Any, ...], places: int) -> Answer:
        answer = self.evaluate(operand)
        rows = [
            (labels, type(row)((point, None if value is None else rounded(value, places)) for point, value in row))
            for labels, row in answer.rows
        ]
        return Answer(answer.kind, rows)

    def _binary(self, operator: str, left_tuple: tuple[Any, ...], right_tuple: tuple[Any, ...]) -> Answer:
        left, right = self.evaluate(left_tuple), self.evaluate(right_tuple)
        if operator in {"&&", "||"} and not (left.truth and right.truth):
            raise RefusedError("truth")
        kinds = {left.kind, right.kind}
        if "list" in kinds and "single" not in kinds:
            raise RefusedError("kinds")
        kind = next(iter(kinds - {"single"}), "single")
        rows: list[Row] = []
        if left.labelled and right.labelled:
            for labels, row in left.rows:
                other = next((one for key, one in right.rows if sorted(key) == sorted(labels)), None)
                if other is None:
                    rows.append((labels, type(row)((point, None) for point, _ in row)))
                else:
                    rows.append((labels, self._joined(operator, (left.kind, row), (right.kind, other))))
        elif left.labelled:
            rows = [
                (labels, self._joined(operator, (left.kind, row), (right.kind, right.rows[0][1])))
                for labels, row in left.rows
            ]
        else:
            rows = [
                (labels, self._joined(operator, (left.kind, left.rows[0][1]), (right.kind, row)))
                for labels, row in right.rows
            ]
        return Answer(kind, rows, truth=level_of(operator) < 2)

    def _joined(
        self,
        operator: str,
        left: tuple[str, list[tuple[Any, float | None]]],
        right: tuple[str, list[tuple[Any, float | None]]],
    ) -> list[tuple[Any, float | None]]:
        (left_kind, left_row), (right_kind, right_row) = left, right
        if left_kind == right_kind == "single":
            points = {point for point, _ in left_row + right_row if point is not None}
            point = points.pop() if len(points) == 1 else None
            return [(point, operate(operator, left_row[0][1], right_row[0][1]))]
        if right_kind == "single":
            return type(left_row)((point, operate(operator, value, right_row[0][1])) for point, value in left_row)
        if left_kind == "single":
            return type(right_row)((point, operate(operator, left_row[0][1], value)) for point, value in right_row)
        if isinstance(left_row, Sorted) or isinstance(right_row, Sorted):
            raise RefusedError("order")
        return [
            (point, operate(operator, value, other))
            for (point, value), (_, other) in zip(left_row, right_row, strict=True)
        ]

    def _increase(self, metric: tuple[Any, ...], buckets: int, per: int = 1) -> Answer:
        now = self.evaluate(metric)
        _, name, conditions = metric
        before = self._metric(name, conditions, shift=-buckets * self._step)
        rows = [
            (labels, self._joined("-", ("series", row), ("series", old)))
            for (labels, row), (_, old) in zip(now.rows, before.rows, strict=True)
        ]
        return Answer(
            "series",
            [(labels, [(point, operate("/", value, float(per))) for point, value in row]) for labels, row in rows],
        )

    def _rate(self, metric: tuple[Any, ...], buckets: int) -> Answer:
        return self._increase(metric, buckets, per=buckets * self._step)

    def _present(self, operands: Iterable[tuple[Any, ...]]) -> tuple[Answer | None, Answer | None]:
        """The first with a number, and the first at all."""
        first: Answer | None = None
        for operand in operands:
            try:
                answer = self.evaluate(operand)
            except RefusedError as refused:
                if str(refused) != "unknown":
                    raise
                continue
            first = first or answer
            if any(value is not None for _, row in answer.rows for _, value in row):
                return answer, first
        return None, first

    def _view_as_seq(self, *operands: tuple[Any, ...]) -> Answer:
        present, first = self._present(operands)
        if present or first:
            return present or first  # type: ignore[return-value] # one of them is there
        raise RefusedError("unknown")

    def _is_present(self, *operands: tuple[Any, ...]) -> Answer:
        present, _ = self._present(operands)
        return Answer("single", [((), [(None, 1.0 if present else 0.0)])], truth=True)

    def _top_n(self, metric: str, limit: int, order: str) -> Answer:
        if metric not in self._tops:
            raise RefusedError("unknown")
        means = []
        for entity, known in self._tops[metric].items():
            _, mean = aggregated("avg", [(bucket, known.get(bucket)) for bucket in self._buckets])
            if mean is not None:
                means.append((entity, mean))
        means.sort(key=lambda pair: (pair[1] if order == "asc" else -pair[1], pair[0]))
        best: Row = ((), [*means[:limit]])
        return Answer("list", [best])

    def _top_n_of(self, operands: list[tuple[Any, ...]], limit: int, order: str) -> Answer:
        together = [pair for operand in operands for pair in self.evaluate(operand).rows[0][1]]
        return Answer("list", [((), self._sorted(together, order)[:limit])])

    def _sorted(self, row: list[tuple[Any, float | None]], order: str) -> list[tuple[Any, float | None]]:
        present = [(point, value) for point, value in row if value is not None]
        present.sort(key=lambda pair: pair[1] if order == "asc" else -pair[1])
        return [*present]

    def _relabels(
        self, operand: tuple[Any, ...], old: str, old_values: list[str], new: str, new_values: list[str]
    ) -> Answer:
        answer = self.evaluate(operand)
        if answer.rows and all(old not in dict(labels) for labels, _ in answer.rows):
            raise RefusedError("label")
        becomes = dict(zip(old_values, new_values, strict=True))
        rows: list[Row] = []
        for labels, row in answer.rows:
            renamed = tuple(
                (new, becomes.get(value, value)) if name == old else (name, value) for name, value in labels
            )
            if len(dict(renamed)) < len(renamed) or any(sorted(other) == sorted(renamed) for other, _ in rows):
                raise RefusedError("label")
            rows.append((renamed, row))
        return Answer(answer.kind, rows, answer.truth)

    def _aggregate_labels(self, operand: tuple[Any, ...], function: str, names: list[str]) -> Answer:
        answer = self.evaluate(operand)
        if not answer.labelled:
            raise RefusedError("label")
        if any(isinstance(row, Sorted) for _, row in answer.rows):
            raise RefusedError("order")
        groups: dict[Labels, list[list[tuple[Any, float | None]]]] = {}
        for labels, row in answer.rows:
            kept = tuple((name, dict(labels)[name]) for name in names if name in dict(labels))
            groups.setdefault(kept, []).append(row)
        rows: list[Row] = []
        for labels, group in groups.items():
            points = [point for point, _ in group[0]]
            rows.append((labels, [(point, self._put(function, group, at)) for at, point in enumerate(points)]))
        return Answer(answer.kind, rows, answer.truth and function in {"max", "min"})

    def _put(self, function: str, group: list[list[tuple[Any, float | None]]], at: int) -> float | None:
        numbers = [value for row in group if (value := row[at][1]) is not None]
        if not numbers:
            return None
        if function in {"max", "min"}:
            return max(numbers) if function == "max" else min(numbers)
        total = in_order(numbers)
        return number(total / len(numbers) if function == "avg" else total)

    def _sort_values(self, operand: tuple[Any, ...], limit: int | None, order: str, function: str | None) -> Answer:
        answer = self.evaluate(operand)
        if function is None:
            if answer.kind == "single":
                return answer
            rows: list[Row] = [(labels, Sorted(self._sorted(row, order)[:limit])) for labels, row in answer.rows]
            return Answer(answer.kind, rows, answer.truth)
        by = [(aggregated(function, row)[1], (labels, row)) for labels, row in answer.rows]
        present = [(value, row) for value, row in by if value is not None]
        present.sort(key=lambda pair: pair[0] if order == "asc" else -pair[0])
        absent = [row for value, row in by if value is None]
        return Answer(answer.kind, [*(row for _, row in present), *absent][:limit], answer.truth)

    def _sort_label_values(self, operand: tuple[Any, ...], order: str, names: list[str]) -> Answer:
        answer = self.evaluate(operand)
        rows = list(answer.rows)
        for name in reversed(names):
            rows.sort(key=lambda row, label=name: natural(dict(row[0]).get(label, "")), reverse=order == "des")  # type: ignore[misc] # mypy cannot infer defaults
        return Answer(answer.kind, rows, answer.truth)

    def _baseline(self, metric: tuple[Any, ...], which: str) -> Answer:
        shifts = [-7 * DAY, -14 * DAY] if self._step == DAY else [-day * DAY for day in range(1, 8)]
        _, name, conditions = metric
        earlier = [self._metric(name, conditions, shift=shift) for shift in shifts]
        rows: list[Row] = []
        for at, (labels, row) in enumerate(earlier[0].rows):
            new: list[tuple[Any, float | None]] = []
            for place, (point, _) in enumerate(row):
                known = [value for answer in earlier if (value := answer.rows[at][1][place][1]) is not None]
                new.append((point, self._predicted(known, which)))
            rows.append((labels, new))
        return Answer("series", rows)

    def _predicted(self, known: list[float], which: str) -> float | None:
        if not known:
            return None

        def predict() -> float:
            mean = in_order(known) / len(known)
            if which == "value":
                return mean
            deviation = math.sqrt(in_order((value - mean) * (value - mean) for value in known) / len(known))
            return mean + 2 * deviation if which == "upper" else mean - 2 * deviation

        return guarded(predict)
