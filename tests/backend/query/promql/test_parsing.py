"""What reaches the parser is small enough for it, and what it says is told."""

import re
import string
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from backend.query.promql import parsing
from backend.query.promql.budget import Budget
from backend.query.promql.calls import NAMES
from backend.query.promql.errors import Kind, PromqlError
from backend.query.promql.evaluator import Range
from backend.query.promql.parsing import check_size, formatted, parse, parse_selector
from backend.query.promql.questions import evaluated
from tests.backend.query.promql.drawing import START, ListSource, drawn_series

SERIES = drawn_series(3)


@pytest.mark.parametrize(
    ("at_most", "too_much", "message"),
    [
        (f'x{{a="{"b" * 16_377}"}}', f'x{{a="{"b" * 16_378}"}}', "longer than 16,384 characters"),
        ("x{" + "a=`b`," * 249 + "}", "x{" + "a=`b`," * 250 + "}", "has 1,003 words and signs, more than 1,000"),
        ("(" * 64 + "x" + ")" * 64, "(" * 65 + "x" + ")" * 65, "brackets 65 deep, more than 64"),
    ],
)
def test_expressions_have_bounds(at_most: str, too_much: str, message: str) -> None:
    parse(at_most)
    with pytest.raises(PromqlError, match=message) as refused:
        parse(too_much)
    assert refused.value.kind is Kind.BAD_DATA


MOMENT = START + 1_200_000


@pytest.mark.parametrize(
    ("at_most", "too_much"),
    [
        ("+".join(["1"] * 200), "+".join(["1"] * 201)),
        ("or".join([" x "] * 200), "or".join([" x "] * 201)),
        ("-" * 199 + "x", "-" * 200 + "x"),
        ("abs(" * 64 + "-" * 135 + "x" + ")" * 64, "abs(" * 64 + "-" * 136 + "x" + ")" * 64),
    ],
)
def test_levels_have_a_bound_and_what_is_within_it_has_an_answer(at_most: str, too_much: str) -> None:
    evaluated(parse(at_most), Range(MOMENT, MOMENT), ListSource(SERIES), Budget())
    with pytest.raises(PromqlError, match="201 operators and functions within each other, more than 200"):
        parse(too_much)


def test_texts_and_comments_are_no_words() -> None:
    check_size("x{a=~" + '"' + "(((|" * 1_000 + '"} # ' + "a b c " * 1_000)
    check_size("x{a=~`" + "((( " * 1_000 + "`, b='" + "\\'\"" * 1_000 + "'}")


@pytest.mark.parametrize(
    "text", ["", "x(", "rate(x)", "1 == 2", 'x{a=~"["}', "{}", "sum(1", '"', "x[5m", "x offset", "🙂"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(PromqlError, match="cannot be read") as refused:
        parse(text)
    assert refused.value.kind is Kind.BAD_DATA


def test_selectors() -> None:
    assert str(parse_selector('x{a="b"}')) == 'x{a="b"}'
    with pytest.raises(PromqlError, match="is not a selector of series"):
        parse_selector("sum(x)")


def test_expressions_are_written_as_usual() -> None:
    assert formatted('sum(rate(x{a="b"}[5m]))by(a)') == 'sum by (a) (rate(x{a="b"}[5m]))'


WORDS = [
    *("a_metric", "b_metric", "sum", "by", "without", "on", "ignoring", "group_left", "and", "or", "unless", "rate"),
    *("topk", "quantile", "bool", "offset", "5m", "1m", "1", "-3", "0", "NaN", "Inf", "x", "y", '"p"', '".*"'),
    *("start()", "time()", "label_replace", "quantile_over_time", "count_values", "absent", "vector", "scalar"),
    *("histogram_quantile", "fill", "limitk", "info", "=~", "!~", "!=", "==", *"()[]{},=>+-*/%^@:"),
]


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(string.printable, max_size=60))
def test_any_text_has_an_answer_or_a_reason(text: str) -> None:
    try:
        data = evaluated(parse(text), Range(MOMENT, MOMENT), ListSource(SERIES), Budget())
    except PromqlError:
        return
    assert data["resultType"] in {"scalar", "vector", "matrix", "string"}


def test_the_page_lists_the_functions() -> None:
    page = (Path(__file__).parents[4] / "docs" / "prometheus.md").read_text()
    listed = page.partition("* Functions: ")[2].partition("Not there: ")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == NAMES


def test_all_parts_are_walked() -> None:
    kinds = [type(each).__name__ for each in parsing.walk(parse("topk(scalar(a), -(b)) + max_over_time(c[5m:1m])"))]
    assert kinds == [
        *("BinaryExpr", "AggregateExpr", "UnaryExpr", "ParenExpr", "VectorSelector", "Call", "VectorSelector"),
        *("Call", "SubqueryExpr", "VectorSelector"),
    ]
