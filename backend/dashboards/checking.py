"""Whether the expressions of a dashboard can be answered, and drawn as its widgets say."""

from collections.abc import Iterator
from enum import Enum
from typing import assert_never

from msgspec.structs import replace

from backend.dashboards.document import Document
from backend.dashboards.model import Content, DashboardError, Kind, Line, Scope, Widget
from backend.query.catalog import Catalog
from backend.query.errors import QueryError
from backend.query.mqe import syntax
from backend.query.mqe.entities import RANKED
from backend.query.mqe.parser import parse

METRICS_OF = {
    Scope.SERVICE: "K8SService",
    Scope.INSTANCE: "K8SServiceInstance",
    Scope.ENDPOINT: "K8SEndpoint",
    Scope.SERVICE_RELATION: "K8SServiceRelation",
    Scope.INSTANCE_RELATION: "K8SServiceInstanceRelation",
    Scope.ENDPOINT_RELATION: "K8SEndpointRelation",
}
"""The scope of the metrics that a dashboard of a scope shows; a global one shows lists alone."""
RANKED_IN = {
    Scope.GLOBAL: frozenset(RANKED),
    Scope.SERVICE: frozenset({"K8SServiceInstance", "K8SEndpoint"}),
}
"""The scopes of the metrics that top_n() ranks in a dashboard of a scope."""


class Shape(Enum):
    """What an expression gives, in the words of an error."""

    ONE = "one number"
    SERIES = "values over time"
    LIST = "a list of entities"


_WANTED = {
    Kind.LINE: (Shape.SERIES, "show it with kind value, or leave out avg(), sum() and the like"),
    Kind.AREA: (Shape.SERIES, "show it with kind value, or leave out avg(), sum() and the like"),
    Kind.BAR: (Shape.SERIES, "show it with kind value, or leave out avg(), sum() and the like"),
    Kind.HEAT_MAP: (Shape.SERIES, "show it with kind value, or leave out avg(), sum() and the like"),
    Kind.VALUE: (Shape.ONE, "put avg(), sum() or latest() around it"),
    Kind.STAGES: (Shape.ONE, "put avg() around it"),
    Kind.TABLE: (Shape.LIST, "use top_n()"),
}


def check(content: Content, document: Document, file: str, catalog: Catalog) -> None:
    """Parse every expression of a dashboard and look up its metrics.

    Args:
        content: what the file says.
        document: where it says it.
        file: its name.
        catalog: the metrics that there are.

    Raises:
        DashboardError: of the first expression that is wrong.
    """
    for one, tab in enumerate(content.tabs):
        for two, widget in enumerate(tab.widgets):
            place = f"$.tabs[{one}].widgets[{two}]"
            for three, line in enumerate(widget.lines):
                at = f"{place}.lines[{three}]"
                try:
                    _check_line(content.scope, widget, line, catalog)
                except _Wrong as wrong:
                    raise DashboardError(file, document.line_of(f"{at}.{wrong.field}"), str(wrong)) from None
            _check_stages(widget, file, document, place)


def without_unknown(content: Content, catalog: Catalog) -> Content:
    """A dashboard without the lines whose metrics there are not, and without what is then empty."""
    tabs = []
    for tab in content.tabs:
        widgets = []
        for widget in tab.widgets:
            lines = tuple(line for line in widget.lines if _is_known(line, catalog))
            names = {line.name for line in lines}
            # Stages whose outer stage is missing stand alone.
            lines = tuple(line if line.within in names else replace(line, within=None) for line in lines)
            if lines:
                widgets.append(replace(widget, lines=lines))
        if widgets:
            tabs.append(replace(tab, widgets=tuple(widgets)))
    return replace(content, tabs=tuple(tabs))


def _is_known(line: Line, catalog: Catalog) -> bool:
    try:
        for metric, _ in _metrics(parse(line.expression)):
            catalog.metric(metric.name)
    except QueryError:
        return False
    except syntax.MqeError:
        return True  # check() says what is wrong with it
    return True


class _Wrong(Exception):  # noqa: N818 - never seen outside
    """A line that is wrong in a field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _check_line(scope: Scope, widget: Widget, line: Line, catalog: Catalog) -> None:
    try:
        expression = parse(line.expression)
    except syntax.MqeError as error:
        raise _Wrong("expression", f"{line.expression!r} is no expression: {error}") from None
    for metric, ranked in _metrics(expression):
        _check_metric(scope, metric, catalog, ranked=ranked)
    shape = shape_of(expression)
    wanted, hint = _WANTED[widget.kind]
    if shape is not wanted:
        raise _Wrong("expression", f"{line.expression!r} gives {shape.value}, which is no {widget.kind.value}: {hint}")


def _check_metric(scope: Scope, metric: syntax.MetricExpression, catalog: Catalog, *, ranked: bool) -> None:
    try:
        of = catalog.metric(metric.name).scope
    except QueryError as error:
        raise _Wrong("expression", f"{error.error}: {error.hint}") from None
    if ranked:
        allowed = RANKED_IN.get(scope, frozenset())
        if of not in allowed:
            names = " or ".join(sorted(allowed)) or "nothing"
            raise _Wrong(
                "expression",
                f"{metric.name} is a metric of {of}; top_n() in a dashboard of the scope {scope.value} ranks {names}",
            )
    elif METRICS_OF.get(scope) != of:
        shown = METRICS_OF.get(scope)
        shows = f"metrics of {shown}" if shown else "lists alone: use top_n()"
        raise _Wrong(
            "expression", f"{metric.name} is a metric of {of}; a dashboard of the scope {scope.value} shows {shows}"
        )


def _check_stages(widget: Widget, file: str, document: Document, place: str) -> None:
    """Names of stages are what others lie within, so they are needed and differ."""
    before: set[str] = set()
    for index, line in enumerate(widget.lines):
        at = f"{place}.lines[{index}]"
        if widget.kind is not Kind.STAGES:
            if line.within is not None:
                reason = f"`within` is for widgets of kind stages; this one is of kind {widget.kind.value}"
                raise DashboardError(file, document.line_of(f"{at}.within"), reason)
            continue
        if line.name is None or line.name in before:
            raise DashboardError(file, document.line_of(at), "each stage needs a name that no other has")
        if line.within is not None and line.within not in before:
            reason = f"there is no stage {line.within!r} before this one to lie within"
            raise DashboardError(file, document.line_of(f"{at}.within"), reason)
        before.add(line.name)


def _metrics(expression: syntax.Expression) -> Iterator[tuple[syntax.MetricExpression, bool]]:
    """The metrics of an expression, and whether they are ranked."""
    match expression:
        case syntax.MetricExpression():
            yield expression, False
        case syntax.TopExpression():
            yield expression.metric, True
        case syntax.TrendExpression() | syntax.BaselineExpression():
            yield expression.metric, False
        case syntax.BinaryExpression():
            yield from _metrics(expression.left)
            yield from _metrics(expression.right)
        case syntax.ChoiceExpression() | syntax.TopOfExpression():
            for operand in expression.operands:
                yield from _metrics(operand)
        case syntax.ScalarExpression():
            return
        case _:
            yield from _metrics(expression.operand)


def shape_of(expression: syntax.Expression) -> Shape:
    """What an expression gives."""
    match expression:
        case syntax.ScalarExpression() | syntax.AggregationExpression():
            return Shape.ONE
        case syntax.MetricExpression() | syntax.TrendExpression() | syntax.BaselineExpression():
            return Shape.SERIES
        case syntax.TopExpression() | syntax.TopOfExpression():
            return Shape.LIST
        case syntax.BinaryExpression():
            left, right = shape_of(expression.left), shape_of(expression.right)
            return right if left is Shape.ONE else left
        case syntax.ChoiceExpression():
            return Shape.ONE if expression.choice is syntax.Choice.IS_PRESENT else shape_of(expression.operands[0])
        case (
            syntax.MathematicsExpression()
            | syntax.RoundExpression()
            | syntax.RelabelExpression()
            | syntax.AggregateLabelsExpression()
            | syntax.SortValuesExpression()
            | syntax.SortLabelValuesExpression()
        ):
            return shape_of(expression.operand)
        case _:
            assert_never(expression)
