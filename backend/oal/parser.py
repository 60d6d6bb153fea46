"""From the text of a script to statements."""

from functools import cache
from importlib.resources import files
from typing import NoReturn, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from backend.oal.functions import SUPPORTED, UNSUPPORTED
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
_FUNCTIONS = SUPPORTED.keys() | UNSUPPORTED
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
    "NUMBER": "a whole number",
    "OPERATOR": "a comparison",
    "CAST": "a cast",
    "$END": "the end",
}


@cache
def _grammar() -> Lark:
    text = files("backend.oal").joinpath("grammar.lark").read_text()
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str, file: str) -> list[MetricStatement | DisableStatement]:
    """The statements of a script, in order.

    Args:
        text: the script.
        file: its name, for errors.

    Raises:
        OalError: the text is not in the language; the error says where, and what could stand there.
    """
    try:
        tree: Tree[Token] = _grammar().parse(text)
    except UnexpectedInput as error:
        _explain(error, text, file)
    builder = _Builder(file)
    return [builder.statement(_tree(node)) for node in tree.children if node is not None]


def _explain(error: UnexpectedInput, text: str, file: str) -> NoReturn:
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
    raise OalError(position, f"{found} cannot stand here: expected {' or '.join(names)}") from None


def _tree(node: _Node) -> Tree[Token]:
    # The grammar says which children are trees; lark's types cannot.
    return cast("Tree[Token]", node)


class _Builder:
    """Builds the statements of one file. One method per rule of the grammar."""

    def __init__(self, file: str) -> None:
        self._file = file

    def statement(self, tree: Tree[Token]) -> MetricStatement | DisableStatement:
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
        if function.name not in _FUNCTIONS:
            hint = nearest(function.name, {*_FUNCTIONS, "filter"})
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
                    self._operand(operand), Operator(str(operator)), _constant(literal), self._position(tree)
                )
            case "membership":
                operand, members = tree.children
                literals = tuple(_constant(member) for member in _tree(members).children)
                if len({type(member) for member in literals}) > 1:
                    raise OalError(
                        self._position(members), "a list holds numbers, strings or enumerations, not a mixture"
                    )
                return Comparison(self._operand(operand), Operator.IN, literals, self._position(tree))
            case "operand":
                return self._operand(tree)
            case _:
                return Plain(_constant(tree), self._position(tree))

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


def _constant(node: _Node) -> Constant:
    tree = _tree(node)
    text = str(tree.children[0]) if tree.children else ""
    match tree.data:
        case "number":
            return int(text.rstrip("lL").replace("_", ""))
        case "string":
            return text[1:-1]
        case "true":
            return True
        case "false":
            return False
        case "enumeration":
            return Enumeration(text, str(tree.children[1]))
        case _:
            return None


def _filter(call: Call) -> Comparison:
    match call.arguments:
        case (Comparison() as comparison,):
            return comparison
        case _:
            raise OalError(call.position, 'a filter compares one attribute: .filter(type == "connect")')


def _decorator(call: Call) -> str:
    if call.name in {*_FUNCTIONS, "filter"}:
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
