"""YAML that remembers on which line each of its values stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from backend.dashboards.model import DashboardError

MAXIMUM_BYTES = 256 * 1024
"""Longest file."""
MAXIMUM_VALUES = 20_000
"""Most values of a file, those that anchors repeat among them."""
MAXIMUM_DEPTH = 20
"""Deepest nesting; a dashboard has 7."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values and where they stand."""

    value: Any
    lines: Mapping[str, int]
    """Lines, counted from 1, by the place of a value as msgspec says it: `$`, then `.key` or `[index]`."""

    def line_of(self, place: str) -> int:
        """The line of a value, or of the nearest around it that the file has."""
        while place not in self.lines and place:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        return self.lines.get(place, 1)


def read_document(text: bytes, file: str) -> Document:
    """Read YAML.

    Args:
        text: the content of the file.
        file: its name, for errors.

    Raises:
        DashboardError: it is too large, or not YAML, or uses a key twice.
    """
    if len(text) > MAXIMUM_BYTES:
        raise DashboardError(file, 1, f"the file is longer than {MAXIMUM_BYTES:,} bytes: make several of it")
    try:
        node = yaml.compose(text.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise DashboardError(file, 1, f"the file is not in UTF-8: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DashboardError(file, line, f"this is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DashboardError(file, 1, f"this is not YAML: {error}") from None
    except RecursionError:
        raise DashboardError(file, 1, "the values are nested too deep") from None
    if node is None:
        raise DashboardError(file, 1, "the file is empty: a dashboard has a title, a scope and tabs")
    return _Reading(file).document(node)


class _Reading:
    """Makes values of the nodes of one file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: dict[str, int] = {}
        self._scalars = yaml.constructor.SafeConstructor()

    def document(self, node: yaml.Node) -> Document:
        return Document(self._value(node, "$", 0), self._lines)

    def _value(self, node: yaml.Node, place: str, depth: int) -> object:
        line = node.start_mark.line + 1
        self._lines.setdefault(place, line)
        if len(self._lines) > MAXIMUM_VALUES:
            raise DashboardError(
                self._file, line, f"the file has more than {MAXIMUM_VALUES:,} values: make several of it"
            )
        if depth > MAXIMUM_DEPTH:
            raise DashboardError(self._file, line, f"this is nested more than {MAXIMUM_DEPTH} levels deep")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(each, f"{place}[{index}]", depth + 1) for index, each in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise DashboardError(
                self._file, line, f"{node.value!r} cannot be read: {error}; put it in quotes"
            ) from None

    def _mapping(self, node: yaml.MappingNode, place: str, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = key.value
            if not isinstance(name, str):
                raise DashboardError(self._file, line, "a key must be a word")
            if name in values:
                raise DashboardError(self._file, line, f"{name!r} is said twice here: remove one")
            inner = f"{place}.{name}"
            self._lines[inner] = line
            values[name] = self._value(value, inner, depth + 1)
        return values
