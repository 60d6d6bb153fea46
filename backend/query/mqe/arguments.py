"""The arguments of a call, read one by one."""

import math
from enum import StrEnum
from typing import Protocol, TypeVar, cast

from lark import Token, Tree

from backend.query.mqe.syntax import Expression, MetricExpression, MqeError, Order, Position

Node = Tree[Token]
_Word = TypeVar("_Word", bound=StrEnum)


class Builder(Protocol):
    """What makes expressions of arguments."""

    def expression(self, node: Node, depth: int) -> Expression:
        """An expression that stands `depth` levels deep. Raises MqeError."""
        ...

    def metric(self, node: Node) -> MetricExpression:
        """A metric, with or without labels. Raises MqeError."""
        ...


class Arguments:
    """A call of a function, and its arguments one by one."""

    def __init__(self, builder: Builder, node: Node, signature: str, depth: int) -> None:
        name, *arguments = node.children
        self.name = str(name)
        self.position = position_of(node)
        self._builder = builder
        self._signature = signature
        self._arguments = [tree_of(argument) for argument in arguments]
        self._depth = depth

    def wrong(self, node: Node | None, reason: str) -> MqeError:
        """The error that an argument is not what it should be."""
        position = self.position if node is None else position_of(node)
        return MqeError(position, f"{reason}: write {self.name}({self._signature})")

    def left(self) -> int:
        """How many arguments are not taken yet."""
        return len(self._arguments)

    def peek(self) -> Node | None:
        """The next argument, which stays."""
        return self._arguments[0] if self._arguments else None

    def take(self, what: str) -> Node:
        """The next argument."""
        if not self._arguments:
            raise self.wrong(None, f"{self.name}() lacks {what}")
        return self._arguments.pop(0)

    def end(self) -> None:
        """Raise MqeError when there are arguments left."""
        if self._arguments:
            raise self.wrong(self._arguments[0], f"{self.name}() takes no further argument")

    def expression(self) -> Expression:
        """The next argument, an expression."""
        return self._builder.expression(self.take("an expression"), self._depth + 1)

    def metric(self) -> MetricExpression:
        """The next argument, a metric."""
        node = self.take("a metric")
        if node.data not in {"name", "selection"}:
            raise self.wrong(node, f"{self.name}() takes a metric here, not an expression")
        return self._builder.metric(node)

    def integer(self, what: str, least: int, most: int) -> int:
        """The next argument, a whole number."""
        node = self.take(what)
        if node.data != "integer" or not least <= number_of(node) <= most:
            raise self.wrong(node, f"{what} must be a whole number from {least} to {most:,}")
        return int(number_of(node))

    def word(self, kind: type[_Word], what: str) -> _Word:
        """The next argument, one of some words."""
        node = self.take(what)
        text = word_of(node)
        # The words for orders may be written in capitals.
        text = text.lower() if text is not None and kind is Order else text
        if text not in set(kind):
            raise self.wrong(node, f"{what} must be {' or '.join(kind)}")
        return kind(text)

    def names(self) -> tuple[str, ...]:
        """All further arguments, names of labels; doubles are dropped."""
        names = []
        while self._arguments:
            node = self.take("a label")
            name = word_of(node)
            if name is None:
                raise self.wrong(node, f"{self.name}() takes names of labels here")
            names.append(name)
        return tuple(dict.fromkeys(names))

    def label(self, what: str) -> tuple[str, tuple[str, ...]]:
        """The next argument, a label and values."""
        node = self.take(what)
        if node.data != "label":
            raise self.wrong(node, f"{what} must be a label with values")
        return label_of(node)

    def nested(self, node: Node, signature: str) -> "Arguments":
        """An argument that is itself a call."""
        return Arguments(self._builder, node, signature, self._depth + 1)


def tree_of(node: Token | Node) -> Node:
    """A child that is a tree."""
    # The grammar says which children are trees; lark's types cannot.
    return cast("Node", node)


def child_of(node: Node) -> Node:
    """The first child."""
    return tree_of(node.children[0])


def position_of(node: Node) -> Position:
    """Where a node begins."""
    return Position(node.meta.line, node.meta.column)


def text_of(node: Node) -> str:
    """The first token."""
    return str(node.children[0])


def number_of(node: Node) -> float:
    """The number that a node is. Raises MqeError when it is too large."""
    number = float(text_of(node))
    if not math.isfinite(number):
        raise MqeError(position_of(node), "this number is too large: numbers go up to 1.7e308")
    return number


def word_of(node: Node) -> str | None:
    """What a bare word says; None for anything else."""
    return text_of(node) if node.data == "name" else None


def quoted_of(node: Token | Node) -> str:
    """What is within the quotes of a text."""
    return str(node)[1:-1]


def label_of(node: Node) -> tuple[str, tuple[str, ...]]:
    """A label and its values, which commas are between."""
    name, values = node.children
    return str(name), tuple(value.strip() for value in quoted_of(values).split(","))
