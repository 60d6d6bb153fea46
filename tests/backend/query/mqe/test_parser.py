"""What expressions say, and what is told of those that say nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.query.mqe import builder, parser
from backend.query.mqe.parser import parse
from backend.query.mqe.syntax import (
    AggregateLabelsExpression,
    Aggregation,
    AttributeCondition,
    BinaryExpression,
    LabelCondition,
    MetricExpression,
    MqeError,
    Operator,
    Order,
    Position,
    RelabelExpression,
    SortValuesExpression,
    TopExpression,
)
from tests.backend.query.mqe import dashboards


@pytest.mark.parametrize("text", [*dashboards.ALL, *dashboards.STATE])
def test_every_expression_of_the_dashboards_parses(text: str) -> None:
    parse(text)


def test_operators_bind_as_they_should_and_go_from_left_to_right() -> None:
    def spelled(text: str) -> str:
        return show(parse(text))

    assert spelled("a || b && c") == "((a||b)&&c)"
    assert spelled("a > 1 && b + c * d <= 2") == "((a>1)&&((b+(c*d))<=2))"
    assert spelled("a - b - c / d / e % f") == "((a-b)-(((c/d)/e)%f))"
    assert spelled("a < b == bool 1") == "((a<b)==1)"
    assert spelled("a *(b+c)") == "(a*(b+c))"


def show(expression: object) -> str:
    if isinstance(expression, BinaryExpression):
        return f"({show(expression.left)}{expression.operator}{show(expression.right)})"
    return expression.name if isinstance(expression, MetricExpression) else f"{expression.value:g}"  # type: ignore[attr-defined] # a number is left


@pytest.mark.parametrize("text", ["a >bool b", "a > BOOL b", "a > Bool\n b"])
def test_comparisons_may_say_that_they_are_true_or_false(text: str) -> None:
    expression = parse(text)
    assert isinstance(expression, BinaryExpression)
    assert expression.operator is Operator.GREATER


def test_names_that_begin_like_words_of_the_language() -> None:
    expression = parse("a > boolean")
    assert isinstance(expression, BinaryExpression)
    assert expression.right == MetricExpression("boolean", (), Position(1, 5))
    assert parse("avg_time") == MetricExpression("avg_time", (), Position(1, 1))
    assert parse("5xx") == MetricExpression("5xx", (), Position(1, 1))


def test_labels() -> None:
    assert parse("m{p='50, 99', _=\"a'b\"}") == MetricExpression(
        "m", (LabelCondition("p", ("50", "99")), LabelCondition("_", ("a'b",))), Position(1, 1)
    )
    assert parse("m{}") == MetricExpression("m", (), Position(1, 1))


def test_top_n_and_its_conditions() -> None:
    assert parse("top_n(m, 7, DES, attr0='K8S_SERVICE', attr3 != 'x,y')") == TopExpression(
        MetricExpression("m", (), Position(1, 7)),
        7,
        Order.DESCENDING,
        (
            AttributeCondition("attr0", equal=True, value="K8S_SERVICE", position=Position(1, 18)),
            AttributeCondition("attr3", equal=False, value="x,y", position=Position(1, 39)),
        ),
        Position(1, 1),
    )


def test_functions_of_labels() -> None:
    relabels = parse("relabels(m, p='50,99', percentile='P50,P99')")
    assert isinstance(relabels, RelabelExpression)
    assert (relabels.name, relabels.new_name) == ("p", "percentile")
    assert relabels.values == (("50", "P50"), ("99", "P99"))
    together = parse("aggregate_labels(m, sum(a, b, a))")
    assert isinstance(together, AggregateLabelsExpression)
    assert (together.aggregation, together.names) == (Aggregation.SUM, ("a", "b"))


@pytest.mark.parametrize(
    ("arguments", "limit", "aggregation"),
    [
        ("asc", None, None),
        ("3, asc", 3, None),
        ("asc, max", None, Aggregation.MAX),
        ("3, asc, avg", 3, Aggregation.AVG),
    ],
)
def test_sorting_with_and_without_a_limit(arguments: str, limit: int | None, aggregation: Aggregation | None) -> None:
    expression = parse(f"sort_values(m, {arguments})")
    assert isinstance(expression, SortValuesExpression)
    assert (expression.limit, expression.order, expression.aggregation) == (limit, Order.ASCENDING, aggregation)


DEEP = "abs(" * builder.MAXIMUM_DEPTH + "m" + ")" * builder.MAXIMUM_DEPTH
TOP = "write top_n(metric, limit, asc or des, attr0='value', ...)"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "at column 1: the end cannot stand here: expected '(' or a name or a number"),
        ("a b", "at column 3: 'b' cannot stand here: expected '(' or '{' or an operator or the end"),
        ("a) + b", "at column 2: ')' cannot stand here: expected an operator or the end"),
        ("avg(a", "at column 6: the end cannot stand here: expected '(' or ')' or ',' or '=' or '{' or an operator"),
        ("a +\n  )", "at line 2, column 3: ')' cannot stand here: expected '(' or a name or a number"),
        ("a ! b", "at column 3: '!' cannot stand here: expected '(' or '{' or an operator or the end"),
        ("-1", "at column 1: '-' cannot stand here: expected '(' or a name or a number"),
        ("view_as_seq([a])", "at column 13: '[' cannot stand here: expected '(' or ')' or a name or a number"),
        ("m{p=1}", "at column 5: '1' cannot stand here: expected a quoted text"),
        ("m{p='1', p='2'}", "at column 10: 'p' is given twice: write its values as p='a,b'"),
        ("'x' + 1", "at column 1: 'x' is text: it can only be the value of a label or an attribute"),
        ("avg(p='x')", "at column 5: a label cannot stand here: it belongs into metric{...} or relabels()"),
        ("1" * 400, "at column 1: this number is too large: numbers go up to 1.7e308"),
        ("averag(a)", "at column 1: there is no function 'averag': did you mean 'avg'?"),
        ("avg()", "at column 1: avg() lacks an expression: write avg(expression)"),
        ("avg(a, b)", "at column 8: avg() takes no further argument: write avg(expression)"),
        (
            "round(a, 16)",
            "at column 10: the number of places must be a whole number from 0 to 15: write round(expression, places)",
        ),
        ("round(a)", "at column 1: round() lacks the number of places: write round(expression, places)"),
        (
            "rate(a, 501)",
            "at column 9: the range must be a whole number from 1 to 500: write rate(metric, buckets)",
        ),
        ("rate(a + 1, 2)", "at column 6: rate() takes a metric here, not an expression: write rate(metric, buckets)"),
        ("top_n(a, 1001, asc)", f"at column 10: the limit must be a whole number from 1 to 1,000: {TOP}"),
        ("top_n(a, 5, desc)", f"at column 13: the order must be asc or des: {TOP}"),
        ("top_n(a, 5, asc, b)", f"at column 18: a condition compares an attribute with a text: {TOP}"),
        (
            "top_n(a, 5, asc, attr6='x')",
            f"at column 18: there is no attribute 'attr6', only attr0, attr1, attr2, attr3, attr4, attr5: {TOP}",
        ),
        (
            "top_n_of(avg(a), 5, asc)",
            (
                "at column 10: top_n_of() merges results of top_n() only: "
                "write top_n_of(top_n(...), ..., limit, asc or des)"
            ),
        ),
        (
            "top_n_of(5, asc)",
            "at column 10: top_n_of() lacks a top_n(): write top_n_of(top_n(...), ..., limit, asc or des)",
        ),
        (
            "relabels(a, p='1,2', q='3')",
            (
                "at column 22: 2 values cannot become 1: give one new value for each: "
                "write relabels(expression, label='old,old', label='new,new')"
            ),
        ),
        (
            "relabels(a, p='1,1', q='3,4')",
            (
                "at column 22: a value to be renamed is given twice: "
                "write relabels(expression, label='old,old', label='new,new')"
            ),
        ),
        (
            "relabels(a, p, q)",
            (
                "at column 13: what is renamed must be a label with values: "
                "write relabels(expression, label='old,old', label='new,new')"
            ),
        ),
        (
            "aggregate_labels(a, latest)",
            (
                "at column 21: values of labels are put together by avg or sum or max or min: "
                "write aggregate_labels(expression, sum(label, ...))"
            ),
        ),
        (
            "aggregate_labels(a, sum(1))",
            "at column 25: sum() takes names of labels here: write sum(label, ...)",
        ),
        (
            "sort_values(a, asc, mean)",
            (
                "at column 21: what series are sorted by must be avg or count or latest or sum or max or min: "
                "write sort_values(expression, limit, asc or des, avg)"
            ),
        ),
        (
            "sort_label_values(a, asc)",
            (
                "at column 1: sort_label_values() lacks a label: "
                "write sort_label_values(expression, asc or des, label, ...)"
            ),
        ),
        (
            "baseline(a, middle)",
            (
                "at column 13: what to predict must be value or upper or lower: "
                "write baseline(metric, value or upper or lower)"
            ),
        ),
        (DEEP, "at column 401: this stands more than 100 levels deep: ask for parts of it"),
        (
            "is_present(" + "a," * 100 + "a)",
            "at column 212: this is the metric after the 100th: ask for parts of it",
        ),
        (
            "a" * 8_193,
            "at column 8193: the expression has 8,193 characters: cut it into several of at most 8,192",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, error: str) -> None:
    with pytest.raises(MqeError) as caught:
        parse(text)
    assert str(caught.value) == error


def test_what_is_just_within_the_bounds() -> None:
    parse(DEEP.removeprefix("abs(").removesuffix(")"))
    parse("is_present(" + "a," * 99 + "a)")
    parse("a" * parser.MAXIMUM_LENGTH)
    parse("(" * 4_000 + "a" + ")" * 4_000)


PIECES = [
    *("a", "m{p='1'}", "1", "0.5", "+", "-", "*", "/", "%", "==", "> bool", "&&", "||", "(", ")", "{", "}", ",", "="),
    *("'x'", '"', "'", "avg(", "round(", "rate(", "top_n(", "top_n_of(", "relabels(", "aggregate_labels(", "sum"),
    *("sort_values(", "sort_label_values(", "baseline(", "view_as_seq(", "asc", "des", "value", "attr0='x'", "\n", " "),
]


@settings(max_examples=1_000, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)))
def test_whatever_the_text_is_nothing_but_an_error_of_the_language_is_raised(text: str) -> None:
    try:
        parse(text)
    except MqeError as error:
        position = error.position
    else:
        return
    lines = text.split("\n")
    assert 1 <= position.line <= len(lines)
    assert 1 <= position.column <= len(lines[position.line - 1]) + 1
