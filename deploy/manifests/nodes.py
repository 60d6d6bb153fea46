"""What a declared object may hold beside mappings, lists and scalars: values that a user sets, conditions, comments.

A tree of them is written in two ways: `resolved` puts values in their places, which is what kustomize gets, and
`deploy.manifests.text` writes the expressions of a Helm template in the same places.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Node = Any
"""A mapping, a list, a scalar, or one of the classes below."""

NAMESPACE: Final = "Release.Namespace"
"""Path of the namespace that everything is installed in."""

_PLACE: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Value:
    """What the user sets at `path`, such as "backend.replicas"; of any type."""

    path: str


@dataclass(frozen=True, slots=True)
class Words:
    """A text with values in it, as in "{agent.image.repository}:{agent.image.tag}"."""

    text: str

    def paths(self) -> list[str]:
        """Of the values, in their order."""
        return _PLACE.findall(self.text)

    def pattern(self) -> str:
        """The text with %v for each value."""
        return _PLACE.sub("%v", self.text)


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether the value at `path` is `equal`; with None, whether it is neither false nor empty."""

    path: str
    equal: str | None = None

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it does for these."""
        found = lookup(values, self.path)
        return bool(found) if self.equal is None else found == self.equal


@dataclass(frozen=True, slots=True)
class When:
    """Something that is there when all of `tests` hold: an entry of a mapping or list, or a whole object."""

    tests: tuple[Condition, ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Noted:
    """Something with a comment before it."""

    comment: str
    node: Node


class _Absent:
    """Stands for what is not there."""


_ABSENT: Final = _Absent()


def lookup(values: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a user's values are of any type
    """The value at a path.

    Raises:
        KeyError: there is none.
    """
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def resolved(node: Node, values: Mapping[str, Any], *, keep_comments: bool = False) -> Node:
    """The tree with `values` in their places and without what is not there.

    Raises:
        KeyError: it asks for a value that there is not.
    """
    found = _resolved(node, values, keep_comments)
    return None if found is _ABSENT else found


def _resolved(node: Node, values: Mapping[str, Any], keep_comments: bool) -> Node:  # noqa: FBT001, PLR0911 - passed on; one for each class
    match node:
        case Value():
            return lookup(values, node.path)
        case Words():
            return _PLACE.sub(lambda place: str(lookup(values, place[1])), node.text)
        case When():
            holds = all(test.holds(values) for test in node.tests)
            return _resolved(node.node, values, keep_comments) if holds else _ABSENT
        case Noted():
            below = _resolved(node.node, values, keep_comments)
            return Noted(node.comment, below) if keep_comments and below is not _ABSENT else below
        case dict():
            entries = ((name, _resolved(below, values, keep_comments)) for name, below in node.items())
            return {name: below for name, below in entries if below is not _ABSENT}
        case list():
            items = (_resolved(item, values, keep_comments) for item in node)
            return [below for below in items if below is not _ABSENT]
        case _:
            return node
