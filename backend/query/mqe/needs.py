"""Which metrics an expression reads, and for which spans of time."""

from collections.abc import Iterator

from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.syntax import (
    AggregateLabelsExpression,
    AggregationExpression,
    BaselineExpression,
    BinaryExpression,
    ChoiceExpression,
    Expression,
    MathematicsExpression,
    MetricExpression,
    RelabelExpression,
    RoundExpression,
    SortLabelValuesExpression,
    SortValuesExpression,
    TrendExpression,
)

BASELINE_CYCLES = {Step.SECOND: (1, 7), Step.MINUTE: (1, 7), Step.HOUR: (1, 7), Step.DAY: (7, 2)}
"""By step, how many days a cycle has, and how many cycles baseline() looks back."""

Need = tuple[str, Duration]
"""A metric by its name, and the span that it is read for."""


def needs(expression: Expression, duration: Duration) -> Iterator[Need]:
    """What an expression reads of the entity asked about, in order; top_n() reads others, and is left out."""
    match expression:
        case MetricExpression(name):
            yield name, duration
        case TrendExpression(metric=metric):
            yield metric.name, trend_span(expression, duration)
        case BaselineExpression(metric):
            for span in baseline_spans(duration):
                yield metric.name, span
        case BinaryExpression(_, left, right):
            yield from needs(left, duration)
            yield from needs(right, duration)
        case ChoiceExpression(_, operands):
            for operand in operands:
                yield from needs(operand, duration)
        case (
            AggregationExpression(operand=operand)
            | MathematicsExpression(operand=operand)
            | RoundExpression(operand=operand)
            | RelabelExpression(operand=operand)
            | AggregateLabelsExpression(operand=operand)
            | SortValuesExpression(operand=operand)
            | SortLabelValuesExpression(operand=operand)
        ):
            yield from needs(operand, duration)
        case _:
            return


def trend_span(expression: TrendExpression, duration: Duration) -> Duration:
    """The span asked about, with the buckets before it that increase() or rate() looks back to."""
    return duration.extended(expression.range)


def baseline_spans(duration: Duration) -> list[Duration]:
    """The same time of the cycles before, the latest first."""
    days, cycles = BASELINE_CYCLES[duration.step]
    cycle = days * Step.DAY.value // duration.step.value
    return [duration.before(number * cycle) for number in range(1, cycles + 1)]
