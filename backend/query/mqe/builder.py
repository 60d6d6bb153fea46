"""From a parsed tree to an expression: which functions there are and what they take."""

from collections.abc import Callable, Mapping
from typing import cast

from lark import Token

from backend.oal.syntax import nearest
from backend.query.mqe.arguments import (
    Arguments,
    Node,
    child_of,
    label_of,
    number_of,
    position_of,
    quoted_of,
    text_of,
    tree_of,
    word_of,
)
from backend.query.mqe.syntax import (
    ATTRIBUTES,
    AggregateLabelsExpression,
    Aggregation,
    AggregationExpression,
    AttributeCondition,
    BaselineExpression,
    BinaryExpression,
    Choice,
    ChoiceExpression,
    Expression,
    LabelCondition,
    Mathematics,
    MathematicsExpression,
    MetricExpression,
    MqeError,
    Operator,
    Order,
    Position,
    Prediction,
    RelabelExpression,
    RoundExpression,
    ScalarExpression,
    SortLabelValuesExpression,
    SortValuesExpression,
    TopExpression,
    TopOfExpression,
    Trend,
    TrendExpression,
)

MAXIMUM_DEPTH = 100
"""Operators and functions within each other; `a + b + c` are two within each other."""
MAXIMUM_METRICS = 100
"""Metrics that an expression can name."""
MAXIMUM_TOP = 1_000
"""Entities of top_n(), and series or values that are sorted."""
MAXIMUM_PLACES = 15
"""Decimal places of round(): a number has no more digits."""
MAXIMUM_RANGE = 500
"""Buckets that increase() and rate() look back."""


def build(tree: Node) -> Expression:
    """The expression of a whole tree. Raises MqeError."""
    return _Builder().expression(child_of(tree), 1)


class _Builder:
    """Builds one expression, and counts what is in it."""

    def __init__(self) -> None:
        self._metrics = 0

    def expression(self, node: Node, depth: int) -> Expression:
        """An expression that stands `depth` levels deep."""
        while node.data == "parentheses":
            node = child_of(node)
        position = position_of(node)
        if depth > MAXIMUM_DEPTH:
            raise MqeError(position, f"this stands more than {MAXIMUM_DEPTH} levels deep: ask for parts of it")
        match node.data:
            case "integer" | "decimal":
                return ScalarExpression(number_of(node), position)
            case "name" | "selection":
                return self.metric(node)
            case "binary":
                return self._binary(node, depth)
            case "call":
                return self._call(node, depth)
            case "label":
                raise MqeError(position, "a label cannot stand here: it belongs into metric{...} or relabels()")
            case _:
                raise MqeError(
                    position, f"{text_of(node)} is text: it can only be the value of a label or an attribute"
                )

    def metric(self, node: Node) -> MetricExpression:
        """A metric, with or without labels."""
        self._metrics += 1
        name, *labels = node.children
        position = position_of(node)
        if self._metrics > MAXIMUM_METRICS:
            raise MqeError(position, f"this is the metric after the {MAXIMUM_METRICS}th: ask for parts of it")
        conditions: list[LabelCondition] = []
        for label in labels:
            key, values = label_of(tree_of(label))
            if key in {condition.name for condition in conditions}:
                raise MqeError(position_of(tree_of(label)), f"{key!r} is given twice: write its values as {key}='a,b'")
            conditions.append(LabelCondition(key, values))
        return MetricExpression(str(name), tuple(conditions), position)

    def _binary(self, node: Node, depth: int) -> BinaryExpression:
        left, operator, right = node.children
        token = cast("Token", operator)
        return BinaryExpression(
            Operator(token.lower().removesuffix("bool").strip()),
            self.expression(tree_of(left), depth + 1),
            self.expression(tree_of(right), depth + 1),
            Position(token.line or 0, token.column or 0),
        )

    def _call(self, node: Node, depth: int) -> Expression:
        name = text_of(node)
        function = _FUNCTIONS.get(name)
        if function is None:
            raise MqeError(position_of(node), f"there is no function {name!r}: {nearest(name, _FUNCTIONS)}")
        signature, make = function
        return make(Arguments(self, node, signature, depth))


def _aggregation(call: Arguments) -> Expression:
    operand = call.expression()
    call.end()
    return AggregationExpression(Aggregation(call.name), operand, call.position)


def _mathematics(call: Arguments) -> Expression:
    operand = call.expression()
    call.end()
    return MathematicsExpression(Mathematics(call.name), operand, call.position)


def _round(call: Arguments) -> Expression:
    operand = call.expression()
    places = call.integer("the number of places", 0, MAXIMUM_PLACES)
    call.end()
    return RoundExpression(operand, places, call.position)


def _trend(call: Arguments) -> Expression:
    metric = call.metric()
    buckets = call.integer("the range", 1, MAXIMUM_RANGE)
    call.end()
    return TrendExpression(Trend(call.name), metric, buckets, call.position)


def _choice(call: Arguments) -> Expression:
    operands = [call.expression()]
    while call.left():
        operands.append(call.expression())
    return ChoiceExpression(Choice(call.name), tuple(operands), call.position)


def _top(call: Arguments) -> TopExpression:
    metric = call.metric()
    limit = call.integer("the limit", 1, MAXIMUM_TOP)
    order = call.word(Order, "the order")
    conditions = []
    while call.left():
        conditions.append(_condition(call))
    return TopExpression(metric, limit, order, tuple(conditions), call.position)


def _condition(call: Arguments) -> AttributeCondition:
    node = call.take("a condition")
    if node.data == "label":
        name, text, equal = str(node.children[0]), quoted_of(node.children[1]), True
    elif (
        node.data == "binary"
        and str(node.children[1]) == Operator.NOT_EQUAL
        and (left := word_of(tree_of(node.children[0]))) is not None
        and tree_of(node.children[2]).data == "string"
    ):
        name, text, equal = left, quoted_of(child_of(tree_of(node.children[2]))), False
    else:
        raise call.wrong(node, "a condition compares an attribute with a text")
    if name not in ATTRIBUTES:
        raise call.wrong(node, f"there is no attribute {name!r}, only {', '.join(ATTRIBUTES)}")
    return AttributeCondition(name, equal, text, position_of(node))


def _top_of(call: Arguments) -> Expression:
    operands: list[TopExpression] = []
    while (node := call.peek()) is not None and node.data == "call":
        if str(node.children[0]) != "top_n":
            raise call.wrong(node, "top_n_of() merges results of top_n() only")
        operands.append(_top(call.nested(call.take("top_n()"), _TOP)))
    if not operands:
        raise call.wrong(call.peek(), "top_n_of() lacks a top_n()")
    limit = call.integer("the limit", 1, MAXIMUM_TOP)
    order = call.word(Order, "the order")
    call.end()
    return TopOfExpression(tuple(operands), limit, order, call.position)


def _relabels(call: Arguments) -> Expression:
    operand = call.expression()
    name, old = call.label("what is renamed")
    at = call.peek()
    new_name, new = call.label("what it becomes")
    call.end()
    if len(old) != len(new):
        raise call.wrong(at, f"{len(old)} values cannot become {len(new)}: give one new value for each")
    if len(set(old)) < len(old):
        raise call.wrong(at, "a value to be renamed is given twice")
    return RelabelExpression(operand, name, new_name, tuple(zip(old, new, strict=True)), call.position)


def _aggregate_labels(call: Arguments) -> Expression:
    operand = call.expression()
    node = call.take("what to do with the values")
    name = str(node.children[0]) if node.data in {"name", "call"} else ""
    if name not in _OF_LABELS:
        raise call.wrong(node, f"values of labels are put together by {' or '.join(_OF_LABELS)}")
    names = call.nested(node, "label, ...").names() if node.data == "call" else ()
    call.end()
    return AggregateLabelsExpression(operand, Aggregation(name), names, call.position)


def _sort_values(call: Arguments) -> Expression:
    operand = call.expression()
    node = call.peek()
    limit = None if node is None or word_of(node) is not None else call.integer("the limit", 1, MAXIMUM_TOP)
    order = call.word(Order, "the order")
    aggregation = call.word(Aggregation, "what series are sorted by") if call.left() else None
    call.end()
    return SortValuesExpression(operand, limit, order, aggregation, call.position)


def _sort_label_values(call: Arguments) -> Expression:
    operand = call.expression()
    order = call.word(Order, "the order")
    if not call.left():
        raise call.wrong(None, "sort_label_values() lacks a label")
    return SortLabelValuesExpression(operand, order, call.names(), call.position)


def _baseline(call: Arguments) -> Expression:
    metric = call.metric()
    prediction = call.word(Prediction, "what to predict")
    call.end()
    return BaselineExpression(metric, prediction, call.position)


_TOP = "metric, limit, asc or des, attr0='value', ..."
_OF_LABELS = (Aggregation.AVG, Aggregation.SUM, Aggregation.MAX, Aggregation.MIN)
_FUNCTIONS: Mapping[str, tuple[str, Callable[[Arguments], Expression]]] = {
    **{name.value: ("expression", _aggregation) for name in Aggregation},
    **{name.value: ("expression", _mathematics) for name in Mathematics},
    "round": ("expression, places", _round),
    **{name.value: ("metric, buckets", _trend) for name in Trend},
    **{name.value: ("expression, ...", _choice) for name in Choice},
    "top_n": (_TOP, _top),
    "top_n_of": ("top_n(...), ..., limit, asc or des", _top_of),
    "relabels": ("expression, label='old,old', label='new,new'", _relabels),
    "aggregate_labels": ("expression, sum(label, ...)", _aggregate_labels),
    "sort_values": ("expression, limit, asc or des, avg", _sort_values),
    "sort_label_values": ("expression, asc or des, label, ...", _sort_label_values),
    "baseline": ("metric, value or upper or lower", _baseline),
}
"""By name: what it takes, for errors, and what makes it."""
