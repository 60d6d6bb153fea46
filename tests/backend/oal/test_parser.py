import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.oal.functions import FUNCTIONS
from backend.oal.loader import STANDARD, check_texts
from backend.oal.parser import MAXIMUM_ERRORS, parse, parse_all
from backend.oal.syntax import (
    Argument,
    Call,
    Comparison,
    DisableStatement,
    Enumeration,
    MetricStatement,
    OalError,
    Operand,
    Operator,
    Plain,
    Position,
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


def _position(column: int) -> Position:
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


def test_the_error_of_a_long_line_shows_its_place() -> None:
    with pytest.raises(OalError) as caught:
        parse(f"{'m' * 300} = from(S.*).cpm() x {'y' * 300};", "x")
    _, shown, caret = str(caught.value).split("\n")
    place = caret.index("^")
    assert len(shown) <= 170
    assert shown[place:].startswith("x yyy")
    assert shown[:place].endswith("mm = from(S.*).cpm() ")


def test_errors_are_found_up_to_a_number() -> None:
    statements, errors = parse_all("m = ;\n" * (MAXIMUM_ERRORS + 9), "x")
    assert not statements
    assert [error.position.line for error in errors] == [*range(1, MAXIMUM_ERRORS + 1), MAXIMUM_ERRORS]
    assert "more may be wrong after this line" in errors[-1].reason


@pytest.mark.parametrize(
    ("text", "names", "places"),
    [
        ("a = ; b = from(S.*).cpm(); c =", ["b"], ["1:5", "1:31"]),
        ('a = from(S.*).filter(x == ";").cmp(; b = from(S.*).cpm();', ["b"], ["1:36"]),
        ("a = from(S.*).cpm( /* ; */ ; b = from(S.*).cpm();", ["b"], ["1:28"]),
        ("a = from(S.*).cpm( // ;\n ; b = from(S.*).cpm();", ["b"], ["2:2"]),
        ("b = from(S.*).cpm(); /* no end ; c", ["b"], ["1:22"]),
        ("a = from(S.*) b = from(S.*).cpm(); c = from(S.*).sum();", ["c"], ["1:15"]),
    ],
)
def test_what_is_right_beside_errors_is_read(text: str, names: list[str], places: list[str]) -> None:
    statements, errors = parse_all(text, "x")
    assert [statement.name for statement in statements] == names
    assert [f"{error.position.line}:{error.position.column}" for error in errors] == places


_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"in", "like", "contain", "from", "disable", "true", "false", "null", "not"}
)
_TEXTS = st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=8)
_NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9).map(lambda number: round(number, 3))
_ENUMERATIONS = st.builds(Enumeration, _NAMES, _NAMES)
_CONSTANTS = _NUMBERS | _TEXTS | st.booleans() | st.none() | _ENUMERATIONS
_LISTS = st.one_of(*(st.lists(each, min_size=1, max_size=3).map(tuple) for each in (_NUMBERS, _TEXTS, _ENUMERATIONS)))
_CASTS = st.sampled_from([None, "(long)", "(int)", "(str->long)", "(str->int)"])
_PATHS = st.tuples(_NAMES, st.lists(_NAMES | _TEXTS.map(lambda text: f'["{text}"]'), max_size=3)).map(
    lambda path: (path[0], *path[1])
)
_PLACE = Position("x", 1, 1)
_OPERANDS = st.builds(Operand, _PATHS, _CASTS, st.just(_PLACE))
_OPERATORS = st.sampled_from([operator for operator in Operator if operator is not Operator.IN])
_COMPARISONS = st.builds(Comparison, _OPERANDS, _OPERATORS, _CONSTANTS, st.just(_PLACE)) | st.builds(
    Comparison, _OPERANDS, st.just(Operator.IN), _LISTS, st.just(_PLACE)
)
_ARGUMENTS = st.lists(
    _COMPARISONS
    | _OPERANDS.filter(lambda operand: len(operand.path) != 1)
    | st.builds(Plain, _NUMBERS, st.just(_PLACE)),
    max_size=3,
).map(tuple)
_STATEMENTS = st.builds(
    MetricStatement,
    _NAMES,
    _NAMES,
    st.none() | _OPERANDS,
    st.lists(_COMPARISONS, max_size=3).map(tuple),
    st.builds(Call, st.sampled_from(sorted(FUNCTIONS)), _ARGUMENTS, st.just(_PLACE)),
    st.none() | _TEXTS,
    st.just(_PLACE),
) | st.builds(DisableStatement, _NAMES, st.just(_PLACE))


def written(given_statement: MetricStatement | DisableStatement, blank: str) -> str:
    """A statement as text, with something between its parts."""

    def literal(constant: object) -> str:
        if isinstance(constant, tuple):
            return f"[{blank}{f'{blank},{blank}'.join(map(literal, constant))}]"
        if constant is None or isinstance(constant, bool):
            return {None: "null", True: "true", False: "false"}[constant]
        return (
            f'"{constant}"'
            if isinstance(constant, str)
            else f"{constant:f}"
            if isinstance(constant, float)
            else str(constant)
        )

    def argument(each: Argument) -> str:
        match each:
            case Comparison():
                return f"{argument(each.operand)} {each.operator.value} {literal(each.literal)}"
            case Operand():
                return f"{each.cast or ''}{blank}{each}"
            case Plain():
                return literal(each.value)

    if isinstance(given_statement, DisableStatement):
        return f"disable{blank}({given_statement.name}){blank};"
    value = given_statement.value
    of = f"{(value and value.cast) or ''}{given_statement.source}{blank}.{value or '*'}"
    filters = "".join(f"{blank}.filter({argument(each)})" for each in given_statement.filters)
    arguments = f"{blank},{blank}".join(map(argument, given_statement.function.arguments))
    decorator = "" if given_statement.decorator is None else f'.decorator("{given_statement.decorator}")'
    call = f".{given_statement.function.name}({arguments})"
    return f"{given_statement.name}{blank}={blank}from({of}){filters}{blank}{call}{decorator}{blank};"


def placeless(value: object) -> object:
    """A statement without its places, and with the types of its constants."""
    if isinstance(value, Position):
        return None
    if isinstance(value, tuple | list):
        return [placeless(each) for each in value]
    if dataclasses.is_dataclass(value):
        return [type(value), *(placeless(getattr(value, field.name)) for field in dataclasses.fields(value))]
    return type(value), value


@settings(deadline=None)
@given(
    statements=st.lists(_STATEMENTS, max_size=4),
    blank=st.sampled_from(["", " ", "\n\t", ' /* ; " */ ', " // ) ;\n"]),
)
def test_what_is_written_is_what_is_read(statements: list[MetricStatement | DisableStatement], blank: str) -> None:
    text = "\n".join(written(statement, blank) for statement in statements)
    assert placeless(parse(text, "x")) == placeless(statements)


SCRIPT = (
    (STANDARD / "ebpf.oal").read_text()[:4_000]
    + """
    a = from((str->long)K8SService.name).filter(write.syscall in ["Write", "Send"]).filter(write.duration > -1.5).sum();
    disable(b); c = from(K8SServiceRelation.*).filter(componentIds not contain 49).labelCount(tlsMode, 5);
"""
)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_damaged_scripts_give_errors_and_nothing_else(data: st.DataObject) -> None:
    text = SCRIPT
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(text)))
        last = first + data.draw(st.integers(0, 6))
        text = (
            text[:first]
            + data.draw(st.text(max_size=4) | st.sampled_from(['"', "/*", ";", ")", "9" * 30]))
            + text[last:]
        )
    _, errors = check_texts({"x": text})
    lines = text.split("\n")
    for error in errors:
        assert 1 <= error.position.line <= len(lines)
        assert 1 <= error.position.column <= len(lines[error.position.line - 1]) + 1


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
