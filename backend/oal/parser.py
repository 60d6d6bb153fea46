"""From the text of a script to statements."""

import math
import re
from functools import cache
from importlib.resources import files
from typing import cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from backend.oal.functions import FUNCTIONS
from backend.oal.syntax import (
    Argument,
    Call,
    Comparison,
    Constant,
    DisableStatement,
    Enumeration,
    MetricStatement,
    OalError,
    Operand,
    Operator,
    Plain,
    Position,
    nearest,
)

_Node = Token | Tree[Token] | None
Statement = MetricStatement | DisableStatement
MAXIMUM_ERRORS = 50
"""Errors of one script that are looked for."""
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)
_DIGITS = 20
"""More digits than the largest number has."""
_STATEMENT = re.compile(r'(?:"[^"\n]*"|//[^\n]*|/\*(?:.|\n)*?(?:\*/|\Z)|[^;])*;?')
"""A statement and what is before it; a semicolon in a string or in a comment ends none."""
_EXPECTED = {
    "NAME": "a name",
    "LPAR": "'('",
    "RPAR": "')'",
    "DOT": "'.'",
    "COMMA": "','",
    "EQUAL": "'='",
    "SEMICOLON": "';'",
    "LSQB": "'['",
    "RSQB": "']'",
    "FROM": "'from'",
    "IN": "'in'",
    "DISABLE": "'disable'",
    "TRUE": "'true'",
    "FALSE": "'false'",
    "NULL": "'null'",
    "STAR": "'*'",
    "STRING": "a string",
    "INTEGER": "a number",
    "DECIMAL": "a number",
    "OPERATOR": "a comparison",
    "CAST": "a cast",
    "$END": "the end",
}


@cache
def _grammar() -> Lark:
    text = files("backend.oal").joinpath("grammar.lark").read_text()
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str, file: str) -> list[Statement]:
    """The statements of a script, in order.

    Args:
        text: the script.
        file: its name, for errors.

    Raises:
        OalError: the text is not in the language; the error says where, and what could stand there.
    """
    statements, errors = parse_all(text, file)
    if errors:
        raise errors[0]
    return statements


def parse_all(text: str, file: str) -> tuple[list[Statement], list[OalError]]:
    """The statements of a script that are right, in order, and what is wrong with the others.

    At most MAXIMUM_ERRORS are found; the last one then says that there may be more.
    """
    errors: list[OalError] = []
    rest = text
    while True:
        try:
            tree: Tree[Token] = _grammar().parse(rest)
            break
        except UnexpectedInput as error:
            found = _explained(error, rest, file)
        errors.append(found.quote(text))
        if len(errors) == MAXIMUM_ERRORS:
            reason = "more may be wrong after this line: correct what is told first"
            return [], [*errors, OalError(found.position, reason)]
        rest = _without_statement(rest, found.position)
    builder = _Builder(file)
    statements: list[Statement] = []
    for node in tree.children:
        if node is not None:
            try:
                statements.append(builder.statement(_tree(node)))
            except OalError as error:
                errors.append(error.quote(text))
    return statements, sorted(errors, key=lambda error: (error.position.line, error.position.column))


def _without_statement(text: str, position: Position) -> str:
    """A text with blanks in place of the statement that has a position."""
    lines = text.split("\n")
    place = sum(len(line) + 1 for line in lines[: position.line - 1]) + position.column - 1
    for match in _STATEMENT.finditer(text):
        # The end of the text is a place too: that of a statement that is cut off.
        if match.end() > place or match.end() == len(text):
            blank = re.sub(r"[^\n]", " ", match.group())
            return text[: match.start()] + blank + text[match.end() :]
    return ""


def _explained(error: UnexpectedInput, text: str, file: str) -> OalError:
    if isinstance(error, UnexpectedToken):
        expected, found = error.accepts or error.expected, repr(str(error.token))
    elif isinstance(error, UnexpectedCharacters):
        expected, found = error.allowed, repr(error.char)
    else:
        expected, found = getattr(error, "expected", set[str]()), "the end"
    position = Position(file, error.line, error.column)
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        lines = text.rstrip().split("\n")
        found, position = "the end", Position(file, len(lines), len(lines[-1]) + 1)
    names = sorted({_EXPECTED.get(name, name) for name in expected or ()})
    return OalError(position, f"{found} cannot stand here: expected {' or '.join(names)}")


def _tree(node: _Node) -> Tree[Token]:
    # The grammar says which children are trees; lark's types cannot.
    return cast("Tree[Token]", node)


class _Builder:
    """Builds the statements of one file. One method per rule of the grammar."""

    def __init__(self, file: str) -> None:
        self._file = file

    def statement(self, tree: Tree[Token]) -> Statement:
        if tree.data == "disable":
            return DisableStatement(str(tree.children[0]), self._position(tree))
        return self._metric(tree)

    def _position(self, node: _Node) -> Position:
        if isinstance(node, Token):
            return Position(self._file, node.line or 0, node.column or 0)
        meta = _tree(node).meta
        return Position(self._file, meta.line, meta.column)

    def _metric(self, tree: Tree[Token]) -> MetricStatement:
        name, cast_, path, *calls = tree.children
        position = self._position(tree)
        source, *attribute = self._path(path)
        if not attribute:
            raise OalError(position, f"from({source}) names no value: write from({source}.*) or from({source}.VALUE)")
        value = None if attribute == ["*"] else Operand(tuple(attribute), _cast(cast_), self._position(path))
        if value is not None and "*" in value.path:
            raise OalError(value.position, "'*' stands for the whole source: nothing can stand before or after it")
        steps = [self._call(call) for call in calls]
        filters: list[Comparison] = []
        while steps and steps[0].name == "filter":
            filters.append(_filter(steps.pop(0)))
        if not steps:
            raise OalError(position, f"{name} has no function: end it with one, such as .cpm() or .longAvg()")
        function, *rest = steps
        if function.name not in FUNCTIONS:
            hint = nearest(function.name, {*FUNCTIONS, "filter"})
            raise OalError(function.position, f"there is no function {function.name!r}: {hint}")
        decorator = _decorator(rest[0]) if rest else None
        if len(rest) > 1:
            raise OalError(rest[1].position, f"'.{rest[1].name}' cannot follow the decorator")
        return MetricStatement(str(name), source, value, tuple(filters), function, decorator, position)

    def _call(self, node: _Node) -> Call:
        name, *nodes = _tree(node).children
        arguments = tuple(self._argument(_tree(argument)) for argument in nodes if argument is not None)
        return Call(str(name), arguments, self._position(name))

    def _argument(self, tree: Tree[Token]) -> Argument:
        match tree.data:
            case "comparison":
                operand, operator, literal = tree.children
                return Comparison(
                    self._operand(operand),
                    Operator(" ".join(str(operator).split())),
                    self._constant(literal),
                    self._position(tree),
                )
            case "membership":
                operand, members = tree.children
                literals = tuple(self._constant(member) for member in _tree(members).children)
                if len({float if type(member) is int else type(member) for member in literals}) > 1:
                    raise OalError(
                        self._position(members), "a list holds numbers, strings or enumerations, not a mixture"
                    )
                return Comparison(self._operand(operand), Operator.IN, literals, self._position(tree))
            case "operand":
                return self._operand(tree)
            case _:
                return Plain(self._constant(tree), self._position(tree))

    def _constant(self, node: _Node) -> Constant:
        tree = _tree(node)
        text = str(tree.children[0]) if tree.children else ""
        match tree.data:
            case "integer":
                return self._integer(text, tree)
            case "decimal":
                decimal = float(text.replace("_", ""))
                if not math.isfinite(decimal):
                    raise OalError(self._position(tree), "this number is too large: write a smaller one")
                return decimal
            case "string":
                return text[1:-1]
            case "true" | "false":
                return tree.data == "true"
            case "enumeration":
                return Enumeration(text, str(tree.children[1]))
            case _:
                return None

    def _integer(self, text: str, node: _Node) -> int:
        digits = text.rstrip("lL").replace("_", "")
        number = int(digits) if len(digits) <= _DIGITS else _LARGEST + 1
        if not _SMALLEST <= number <= _LARGEST:
            raise OalError(self._position(node), f"a whole number is from {_SMALLEST} to {_LARGEST}")
        return number

    def _operand(self, node: _Node) -> Operand:
        cast_, path = _tree(node).children
        names = self._path(path)
        if "*" in names:
            raise OalError(self._position(path), "'*' can only stand in from(...)")
        return Operand(tuple(names), _cast(cast_), self._position(path))

    def _path(self, node: _Node) -> list[str]:
        name, *rest = _tree(node).children
        names = [str(name)]
        for part in rest:
            text = str(_tree(part).children[0])
            names.append(f"[{text}]" if _tree(part).data == "key" else text)
        return names


def _cast(node: _Node) -> str | None:
    return None if node is None else str(node)


def _filter(call: Call) -> Comparison:
    match call.arguments:
        case (Comparison() as comparison,):
            return comparison
        case _:
            raise OalError(call.position, 'a filter compares one attribute: .filter(type == "connect")')


def _decorator(call: Call) -> str:
    if call.name in {*FUNCTIONS, "filter"}:
        raise OalError(
            call.position, f"'.{call.name}' cannot stand here: first the filters, then one function, then a decorator"
        )
    if call.name != "decorator":
        raise OalError(call.position, f"there is no {call.name!r}: {nearest(call.name, ['decorator'])}")
    match call.arguments:
        case (Plain(str() as name),):
            return name
        case _:
            raise OalError(call.position, 'a decorator is named by a string: .decorator("K8SServiceDecorator")')
