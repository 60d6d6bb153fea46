import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.oal.parser import parse
from backend.oal.syntax import (
    Call,
    Comparison,
    DisableStatement,
    Enumeration,
    MetricStatement,
    OalError,
    Operand,
    Operator,
    Plain,
)


def metric(text: str) -> MetricStatement:
    (statement,) = parse(text, "test.oal")
    assert isinstance(statement, MetricStatement)
    return statement


def test_a_whole_statement() -> None:
    statement = metric(
        """
        // a comment; with = signs
        name = from((str->long)K8SService.tag["a.b"].c)  /* one
            more */ .filter(type == "connect").filter(connect.success != false)
            .percent((long)x.y >= 1_000L).decorator("K8SServiceDecorator")
        """
    )
    assert statement.name == "name"
    assert statement.source == "K8SService"
    assert statement.value == Operand(("tag", '["a.b"]', "c"), "(str->long)", statement.value.position)  # type: ignore[union-attr] # checked here
    assert [(str(one.operand), one.operator, one.literal) for one in statement.filters] == [
        ("type", Operator.EQUAL, "connect"),
        ("connect.success", Operator.NOT_EQUAL, False),
    ]
    (argument,) = statement.function.arguments
    assert isinstance(argument, Comparison)
    assert (argument.operand.cast, argument.operator, argument.literal) == ("(long)", Operator.AT_LEAST, 1000)
    assert statement.decorator == "K8SServiceDecorator"
    assert str(statement.position) == "test.oal:3:9"


@pytest.mark.parametrize(
    ("text", "operator", "literal"),
    [
        ("a == 1", Operator.EQUAL, 1),
        ("a==1l", Operator.EQUAL, 1),
        ("a > 0", Operator.GREATER, 0),
        ("a < 0", Operator.LESS, 0),
        ("a <= 12_345_678", Operator.AT_MOST, 12345678),
        ("a == -1", Operator.EQUAL, -1),
        ("a >= -1_000L", Operator.AT_LEAST, -1000),
        ("a < 1.5", Operator.LESS, 1.5),
        ("a > -0.25", Operator.GREATER, -0.25),
        ("a in [1, -2.5]", Operator.IN, (1, -2.5)),
        ("a == 9223372036854775807", Operator.EQUAL, 2**63 - 1),
        ("a == null", Operator.EQUAL, None),
        ("a == true", Operator.EQUAL, True),
        ('a like "%x"', Operator.LIKE, "%x"),
        ('a in ["x", "y.z"]', Operator.IN, ("x", "y.z")),
        ("a in [1,2]", Operator.IN, (1, 2)),
        ("a in [E.A, E.B]", Operator.IN, (Enumeration("E", "A"), Enumeration("E", "B"))),
        ('a contain "x"', Operator.CONTAIN, "x"),
        ('a not contain "x"', Operator.NOT_CONTAIN, "x"),
        ("a not  contain 49", Operator.NOT_CONTAIN, 49),
        ("a == DetectPoint.SERVER", Operator.EQUAL, Enumeration("DetectPoint", "SERVER")),
        ('a == ""', Operator.EQUAL, ""),
        ('a == "// no comment"', Operator.EQUAL, "// no comment"),
    ],
)
def test_comparisons(text: str, operator: Operator, literal: object) -> None:
    (comparison,) = metric(f"m = from(S.*).filter({text}).cpm()").filters
    assert (comparison.operator, comparison.literal) == (operator, literal)
    assert type(comparison.literal) is type(literal)


def test_arguments() -> None:
    assert metric("m = from(S.x).percentile2(10);").function.arguments == (Plain(10, _position(27)),)
    call = metric("m = from(S.x).apdex(name, protocol.success);").function
    assert call == Call(
        "apdex",
        (Operand(("name",), None, _position(21)), Operand(("protocol", "success"), None, _position(27))),
        _position(15),
    )


def _position(column: int) -> object:
    return metric(f"{' ' * (column - 1)}m = from(S.*).cpm()").position


def test_names_may_begin_like_words_of_the_language() -> None:
    statement = metric("disabled_from = from(S.infrom.likely).filter(type_in == nullable.trueish).sum()")
    assert (statement.name, str(statement.value)) == ("disabled_from", "infrom.likely")


def test_several_statements_and_none() -> None:
    assert parse("", "x") == []
    assert parse("// nothing", "x") == []
    first, second = parse("disable(a); b = from(S.*).cpm();", "x")
    assert isinstance(first, DisableStatement)
    assert (first.name, str(first.position)) == ("a", "x:1:1")
    assert isinstance(second, MetricStatement)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("m = form(S.*).cpm();", "x:1:5: 'form' cannot stand here: expected 'from'"),
        ("m = from(S.*).cpm()\nn = from(S.*).cpm();", "x:2:1: 'n' cannot stand here: expected '.' or ';' or the end"),
        ("m = from(S.*)", "x:1:14: the end cannot stand here: expected '.'"),
        ("m = from(S.*).filter(a = 1).cpm();", "x:1:24: '=' cannot stand here"),
        (
            "m = from(S.*).filter(a == -).cpm();",
            "x:1:27: '-' cannot stand here: expected a name or a number or a string",
        ),
        ("m = from(S.*).filter(a == 1.).cpm();", "x:1:28: '.' cannot stand here: expected ')' or ','"),
        ("m = from(S.*).filter(a == 1.5L).cpm();", "x:1:30: 'L' cannot stand here"),
        (
            "m = from(S.*).filter(a == 9223372036854775808).cpm();",
            "x:1:27: a whole number is from -9223372",
        ),
        (f"m = from(S.*).filter(a == {'9' * 5_000}).cpm();", "x:1:27: a whole number is from"),
        (f"m = from(S.*).filter(a == {'9' * 400}.5).cpm();", "x:1:27: this number is too large"),
        ("m = from(S.*).filter(a in (1, 2)).cpm();", "x:1:27: '(' cannot stand here: expected '['"),
        ("m = from(S).cpm();", "x:1:1: from(S) names no value: write from(S.*) or from(S.VALUE)"),
        ("m = from(S.*.x).cpm();", "x:1:10: '*' stands for the whole source"),
        ("m = from(S.x).fliter(a == 1).cpm();", "x:1:15: there is no function 'fliter': did you mean 'filter'?"),
        ("m = from(S.x).longavg();", "x:1:15: there is no function 'longavg': did you mean 'longAvg'?"),
        ("m = from(S.x).zzzz();", "x:1:15: there is no function 'zzzz': known are apdex, count, cpm,"),
        ("m = from(S.x).filter(a == 1);", "x:1:1: m has no function: end it with one"),
        ("m = from(S.x).filter(a).cpm();", "x:1:15: a filter compares one attribute"),
        ("m = from(S.x).filter().cpm();", "x:1:15: a filter compares one attribute"),
        ("m = from(S.x).cpm().filter(a == 1);", "x:1:21: '.filter' cannot stand here: first the filters"),
        ("m = from(S.x).cpm().sum();", "x:1:21: '.sum' cannot stand here"),
        ("m = from(S.x).cpm().decorate('x');", 'x:1:30: "\'" cannot stand here'),
        ('m = from(S.x).cpm().decorate("x");', "x:1:21: there is no 'decorate': did you mean 'decorator'?"),
        ("m = from(S.x).cpm().decorator(x);", "x:1:21: a decorator is named by a string"),
        ('m = from(S.x).cpm().decorator("x").cpm();', "x:1:36: '.cpm' cannot follow the decorator"),
        ('m = from(S.x).filter(a in [1, "x"]).cpm();', "x:1:27: a list holds numbers, strings or enumerations"),
        ('m = from(S.x).filter(a == "no end).cpm();', "x:1:27: '\"' cannot stand here"),
        ("m = from(S.x).filter(* == 1).cpm();", "x:1:22: '*' cannot stand here"),
        ("m = from(S.x).filter(a.* == 1).cpm();", "x:1:22: '*' can only stand in from(...)"),
        ("/* no end", "x:1:1: '/' cannot stand here"),
        ("disable();", "x:1:9: ')' cannot stand here: expected a name"),
        ("§", "x:1:1: '§' cannot stand here"),
    ],
)
def test_errors_say_where_and_what(text: str, error: str) -> None:
    with pytest.raises(OalError, match=re.escape(error)) as caught:
        parse(text, "x")
    assert not caught.value.unsupported


@given(text=st.text(alphabet='abfrom(S.*)=;"[]{}<>!filter cpm1_/\n%'))
def test_any_text_is_parsed_or_refused_at_a_place_in_it(text: str) -> None:
    try:
        parse(text, "x")
    except OalError as error:
        position = error.position
    else:
        return
    lines = text.split("\n")
    assert 1 <= position.line <= len(lines)
    assert 1 <= position.column <= len(lines[position.line - 1]) + 1
