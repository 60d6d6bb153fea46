"""What an expression says, as data, and the errors it can have."""

from dataclasses import dataclass
from enum import StrEnum

Labels = tuple[tuple[str, str], ...]
"""Names and values of the labels of a series, in the order that they are shown in."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where something stands in an expression. Lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"column {self.column}" if self.line == 1 else f"line {self.line}, column {self.column}"


class MqeError(Exception):
    """An expression that cannot be answered.

    Attributes:
        position: where.
        reason: what is wrong and what to do.
    """

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(f"at {position}: {reason}")
        self.position = position
        self.reason = reason


class UnknownMetricError(MqeError):
    """There is no metric of this name; view_as_seq() and is_present() take it for one without data."""


class Operator(StrEnum):
    """Of two expressions."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    GREATER = ">"
    AT_MOST = "<="
    AT_LEAST = ">="
    AND = "&&"
    OR = "||"


LOGICAL = frozenset({Operator.AND, Operator.OR})
COMPARISONS = frozenset(
    {
        Operator.EQUAL,
        Operator.NOT_EQUAL,
        Operator.LESS,
        Operator.GREATER,
        Operator.AT_MOST,
        Operator.AT_LEAST,
    }
)


ATTRIBUTES = tuple(f"attr{number}" for number in range(6))
"""What top_n() can filter by."""


class Aggregation(StrEnum):
    """From the values of a series to one."""

    AVG = "avg"
    COUNT = "count"
    LATEST = "latest"
    SUM = "sum"
    MAX = "max"
    MIN = "min"


class Mathematics(StrEnum):
    """From each value to another."""

    ABS = "abs"
    CEIL = "ceil"
    FLOOR = "floor"


class Trend(StrEnum):
    """From values and those some buckets earlier to their difference."""

    INCREASE = "increase"
    RATE = "rate"


class Choice(StrEnum):
    """Of several expressions, by whether they have values."""

    VIEW_AS_SEQ = "view_as_seq"
    IS_PRESENT = "is_present"


class Order(StrEnum):
    """Smallest or largest first."""

    ASCENDING = "asc"
    DESCENDING = "des"


class Prediction(StrEnum):
    """What baseline() gives."""

    VALUE = "value"
    UPPER = "upper"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class AttributeCondition:
    """An attribute that must have a value, or must not."""

    attribute: str
    """One of ATTRIBUTES."""
    equal: bool
    value: str
    position: Position


@dataclass(frozen=True, slots=True)
class LabelCondition:
    """A label that must have one of some values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScalarExpression:
    """A number."""

    value: float
    position: Position


@dataclass(frozen=True, slots=True)
class MetricExpression:
    """A metric, or those of its series that have the labels."""

    name: str
    labels: tuple[LabelCondition, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class BinaryExpression:
    """Two expressions and what is done with them."""

    operator: Operator
    left: "Expression"
    right: "Expression"
    position: Position
    """That of the operator."""


@dataclass(frozen=True, slots=True)
class AggregationExpression:
    """avg(...) and its like."""

    aggregation: Aggregation
    operand: "Expression"
    position: Position


@dataclass(frozen=True, slots=True)
class MathematicsExpression:
    """abs(...) and its like."""

    function: Mathematics
    operand: "Expression"
    position: Position


@dataclass(frozen=True, slots=True)
class RoundExpression:
    """round(..., places)."""

    operand: "Expression"
    places: int
    position: Position


@dataclass(frozen=True, slots=True)
class TrendExpression:
    """increase(metric, range) and rate(metric, range)."""

    trend: Trend
    metric: MetricExpression
    range: int
    """In buckets."""
    position: Position


@dataclass(frozen=True, slots=True)
class ChoiceExpression:
    """view_as_seq(...) and is_present(...)."""

    choice: Choice
    operands: tuple["Expression", ...]
    position: Position


@dataclass(frozen=True, slots=True)
class TopExpression:
    """top_n(metric, limit, order, conditions)."""

    metric: MetricExpression
    limit: int
    order: Order
    conditions: tuple[AttributeCondition, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class TopOfExpression:
    """top_n_of(top_n(...), ..., limit, order)."""

    operands: tuple[TopExpression, ...]
    limit: int
    order: Order
    position: Position


@dataclass(frozen=True, slots=True)
class RelabelExpression:
    """relabels(..., label='old,old', label='new,new')."""

    operand: "Expression"
    name: str
    new_name: str
    values: tuple[tuple[str, str], ...]
    """Old and new values."""
    position: Position


@dataclass(frozen=True, slots=True)
class AggregateLabelsExpression:
    """aggregate_labels(..., sum(label, ...))."""

    operand: "Expression"
    aggregation: Aggregation
    names: tuple[str, ...]
    """Labels that stay; without any, all series become one."""
    position: Position


@dataclass(frozen=True, slots=True)
class SortValuesExpression:
    """sort_values(..., limit, order, aggregation)."""

    operand: "Expression"
    limit: int | None
    order: Order
    aggregation: Aggregation | None
    """What series are sorted by; None sorts the values within each."""
    position: Position


@dataclass(frozen=True, slots=True)
class SortLabelValuesExpression:
    """sort_label_values(..., order, label, ...)."""

    operand: "Expression"
    order: Order
    names: tuple[str, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class BaselineExpression:
    """baseline(metric, value)."""

    metric: MetricExpression
    prediction: Prediction
    position: Position


Expression = (
    ScalarExpression
    | MetricExpression
    | BinaryExpression
    | AggregationExpression
    | MathematicsExpression
    | RoundExpression
    | TrendExpression
    | ChoiceExpression
    | TopExpression
    | TopOfExpression
    | RelabelExpression
    | AggregateLabelsExpression
    | SortValuesExpression
    | SortLabelValuesExpression
    | BaselineExpression
)
