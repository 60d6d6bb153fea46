"""Calls of functions: which arguments they have, and what becomes of names."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from promql_parser import Call, Expr, ParenExpr, VectorSelector

from backend.query.promql import functions, growth, over_time
from backend.query.promql.errors import wrong
from backend.query.promql.matching import equalities
from backend.query.promql.series import Flags, Labels, Numbers, Scalar, Times, Value, Vector, any_of, unnamed, vector
from backend.query.promql.windows import Function, Result, Window

OF_WINDOWS: Mapping[str, Function] = {
    "avg_over_time": over_time.mean,
    "changes": over_time.changes,
    "count_over_time": over_time.count,
    "delta": growth.delta,
    "deriv": growth.slope,
    "first_over_time": over_time.first,
    "idelta": growth.instant_delta,
    "increase": growth.increase,
    "irate": growth.instant_rate,
    "last_over_time": over_time.last,
    "max_over_time": over_time.greatest,
    "min_over_time": over_time.least,
    "present_over_time": over_time.is_there,
    "rate": growth.rate,
    "resets": over_time.resets,
    "stddev_over_time": over_time.deviation,
    "stdvar_over_time": over_time.variance,
    "sum_over_time": over_time.total,
}
"""By their names in PromQL: those of a window and nothing else."""
_KEEP_NAMES = frozenset({"last_over_time", "first_over_time"})


class Evaluating(Protocol):
    """What evaluates the arguments of calls: backend/query/promql/evaluator.py."""

    @property
    def times(self) -> Times:
        """The times asked about."""
        ...

    def instant(self, tree: VectorSelector, function: Function) -> Vector:
        """What a function makes of the samples that stand for the series at each time."""
        ...

    def window(self, tree: Expr) -> Window:
        """The windows of a selector with a range, or of a subquery."""
        ...

    def number(self, tree: Expr) -> Numbers:
        """The value of an expression that is a number."""
        ...

    def text(self, tree: Expr) -> str:
        """The value of an expression that is a text."""
        ...

    def vector(self, tree: Expr) -> Vector:
        """The value of an expression that is a vector."""
        ...


def call(evaluator: Evaluating, tree: Call) -> Value:
    """The value of a call. Raises PromqlError and StorageError."""
    name, arguments = tree.func.name, tree.args
    if name in OF_WINDOWS:
        window = evaluator.window(arguments[0])
        return _of_window(name, window, OF_WINDOWS[name](window))
    if name in functions.ONE_BY_ONE:
        return _each(evaluator.vector(arguments[0]), functions.ONE_BY_ONE[name])
    if name in functions.OF_TIME:
        given = evaluator.vector(arguments[0]) if arguments else _vector(_seconds(evaluator))
        return _each(given, functions.OF_TIME[name])
    if name in _SPECIAL:
        return _SPECIAL[name](evaluator, tree)
    raise wrong(f"there is no function {name}() here: docs/prometheus.md lists those that there are")


def _of_window(name: str, window: Window, result: Result) -> Vector:
    labels = window.samples.labels
    return vector(labels if name in _KEEP_NAMES else [unnamed(each) for each in labels], *result)


def _each(given: Vector, function: Callable[[Numbers], Numbers]) -> Vector:
    return vector([unnamed(labels) for labels in given.labels], function(given.values), given.present)


def _seconds(evaluator: Evaluating) -> Numbers:
    seconds: Numbers = evaluator.times / 1000
    return seconds


def _vector(values: Numbers, labels: Labels = ()) -> Vector:
    return Vector([labels], values[None], np.ones((1, len(values)), np.bool_))


def _absent(evaluator: Evaluating, tree: Call) -> Vector:
    given = evaluator.vector(tree.args[0])
    return _missing(tree.args[0], any_of(given.present, 0))


def _absent_over_time(evaluator: Evaluating, tree: Call) -> Vector:
    _, present = over_time.count(evaluator.window(tree.args[0]))
    inner = getattr(_bare(tree.args[0]), "vector_selector", tree.args[0])
    return _missing(inner, any_of(present, 0))


def _missing(tree: Expr, there: Flags) -> Vector:
    """1 at the times at which nothing is there."""
    inner = _bare(tree)
    labels = equalities(inner) if isinstance(inner, VectorSelector) else ()
    return Vector([labels], np.where(there, 0.0, 1.0)[None], ~there[None])


def _bare(tree: Expr) -> Expr:
    while isinstance(tree, ParenExpr):
        tree = tree.expr
    return tree


def _scalar(evaluator: Evaluating, tree: Call) -> Scalar:
    given = evaluator.vector(tree.args[0])
    if not given.labels:
        return Scalar(np.full(len(evaluator.times), math.nan))
    single = given.present.sum(axis=0) == 1
    return Scalar(np.where(single, np.where(given.present, given.values, 0.0).sum(axis=0), math.nan))


def _timestamp(evaluator: Evaluating, tree: Call) -> Vector:
    selector = _bare(tree.args[0])
    if isinstance(selector, VectorSelector):
        found = evaluator.instant(selector, over_time.last_time)
        return _each(found, lambda values: values)
    given = evaluator.vector(tree.args[0])
    return _each(given, lambda values: np.broadcast_to(_seconds(evaluator), values.shape))


def _quantile_over_time(evaluator: Evaluating, tree: Call) -> Vector:
    share, window = evaluator.number(tree.args[0]), evaluator.window(tree.args[1])
    return _of_window(tree.func.name, window, over_time.quantile(window, share))


def _predict_linear(evaluator: Evaluating, tree: Call) -> Vector:
    window, seconds = evaluator.window(tree.args[0]), evaluator.number(tree.args[1])
    return _of_window(tree.func.name, window, growth.predicted(window, seconds))


def _round(evaluator: Evaluating, tree: Call) -> Vector:
    to = evaluator.number(tree.args[1]) if len(tree.args) > 1 else np.ones(len(evaluator.times))
    return _each(evaluator.vector(tree.args[0]), lambda values: functions.rounded(values, to))


def _clamp(evaluator: Evaluating, tree: Call) -> Vector:
    given = evaluator.vector(tree.args[0])
    bounds = [evaluator.number(argument) for argument in tree.args[1:]]
    if tree.func.name == "clamp":
        least, greatest = bounds
    else:
        infinite = np.full(len(evaluator.times), math.inf)
        least, greatest = (bounds[0], infinite) if tree.func.name == "clamp_min" else (-infinite, bounds[0])
    if (least > greatest).any():
        # Bounds in the wrong order hold nothing between them, as in Prometheus.
        given = Vector(given.labels, given.values, given.present & (least <= greatest))
    bad = np.isnan(least) | np.isnan(greatest)
    return _each(given, lambda values: np.where(bad, math.nan, functions.clamped(values, least, greatest)))


def _label_replace(evaluator: Evaluating, tree: Call) -> Vector:
    given, texts = evaluator.vector(tree.args[0]), [evaluator.text(argument) for argument in tree.args[1:]]
    return functions.replaced(given, *texts)


def _label_join(evaluator: Evaluating, tree: Call) -> Vector:
    given, texts = evaluator.vector(tree.args[0]), [evaluator.text(argument) for argument in tree.args[1:]]
    return functions.joined(given, texts[0], texts[1], texts[2:])


def _sort(evaluator: Evaluating, tree: Call) -> Vector:
    return functions.ordered(evaluator.vector(tree.args[0]), descending=tree.func.name == "sort_desc")


_SPECIAL: Mapping[str, Callable[[Evaluating, Call], Value]] = {
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "pi": lambda evaluator, _: Scalar(np.full(len(evaluator.times), math.pi)),
    "predict_linear": _predict_linear,
    "quantile_over_time": _quantile_over_time,
    "round": _round,
    "scalar": _scalar,
    "sort": _sort,
    "sort_desc": _sort,
    "time": lambda evaluator, _: Scalar(_seconds(evaluator)),
    "timestamp": _timestamp,
    "vector": lambda evaluator, tree: _vector(evaluator.number(tree.args[0])),
}
NAMES = frozenset({*OF_WINDOWS, *functions.ONE_BY_ONE, *functions.OF_TIME, *_SPECIAL})
"""All functions that can be called."""
