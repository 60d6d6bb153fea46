"""Objects as text: YAML for kustomize, and the same with Helm's expressions in the places of values.

The templates have three kinds of expressions and no others, so that a chart can be rendered without Helm as well:

    {{ .Values.backend.replicas | toJson }}
    {{ printf "%v:%v" .Values.agent.image.repository .Values.agent.image.tag | toJson }}
    {{- if and (eq .Values.backend.storage "duckdb") .Values.backend.enabled }} ... {{- end }}
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from deploy.manifests.nodes import NAMESPACE, Condition, Node, Noted, Value, When, Words

_WIDTH: Final = 118
_STEP: Final = "  "
_BRACES: Final = re.compile(r"\{\{|\}\}")
_LINES: Final = re.compile(r"[!-~][ -~]*\n(?:[ -~]*\n)*[ -~]*[!-~]\n")
"""Text of several lines that can be read as it is: of ASCII, and with one line feed at its end."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._](?:[A-Za-z0-9/._@ -]*[A-Za-z0-9/._])?")
_LARGEST: Final = "\uffff"


def document(node: Node) -> str:
    """One object, or one with a condition or comment, as lines that end with a line feed.

    Raises:
        ValueError: something in it cannot be written so that it is read as what it is.
    """
    return "".join(f"{line}\n" for line in _entry("", "", node))


def reference(path: str) -> str:
    """How a template asks for a value."""
    return f".{path}" if path == NAMESPACE else f".Values.{path}"


def condition(tests: tuple[Condition, ...]) -> str:
    """What stands behind `if`."""
    parts = [
        reference(test.path) if test.equal is None else f"eq {reference(test.path)} {json.dumps(test.equal)}"
        for test in tests
    ]
    if len(parts) == 1:
        return parts[0]
    return "and " + " ".join(f"({part})" if " " in part else part for part in parts)


def _entry(head: str, indent: str, node: Node) -> Iterator[str]:
    """Lines of what stands behind `head`: "name:", "-", or nothing for a whole document."""
    match node:
        case When():
            yield f"{indent}{{{{- if {condition(node.tests)} }}}}"
            yield from _entry(head, indent, node.node)
            yield f"{indent}{{{{- end }}}}"
        case Noted():
            yield from _comment(indent, node.comment)
            yield from _entry(head, indent, node.node)
        case dict() if node:
            yield from _block(head, indent, [(f"{_scalar(name)}:", below) for name, below in node.items()])
        case list() if node:
            yield from _block(head, indent, [("-", below) for below in node])
        case _:
            yield from _leaf(head, indent, node)


def _block(head: str, indent: str, entries: list[tuple[str, Node]]) -> Iterator[str]:
    if all(isinstance(node, When) for _, node in entries):
        raise ValueError(f"{head or 'this'} has nothing but conditions: what would be there when none holds?")
    below = indent + _STEP if head else indent
    lines = [line for name, node in entries for line in _entry(name, below, node)]
    # What is in a list begins on the line of its dash, unless a comment or a condition comes first.
    if head == "-" and not lines[0].lstrip().startswith(("#", "{{")):
        yield f"{indent}- {lines[0].removeprefix(below)}"
        yield from lines[1:]
        return
    if head:
        yield f"{indent}{head}"
    yield from lines


def _leaf(head: str, indent: str, node: Node) -> Iterator[str]:
    if isinstance(node, str) and _LINES.fullmatch(node) and not _BRACES.search(node):
        yield f"{indent}{head} |"
        for line in node.splitlines():
            yield f"{indent}{_STEP}{line}" if line else ""
        return
    yield f"{indent}{head} {_inline(node)}"


def _inline(node: Node) -> str:
    match node:
        case Value():
            return f"{{{{ {reference(node.path)} | toJson }}}}"
        case Words():
            references = " ".join(map(reference, node.paths()))
            return f"{{{{ printf {json.dumps(node.pattern())} {references} | toJson }}}}"
        case dict() | list():
            return json.dumps(node)
        case _:
            return _scalar(node)


def _scalar(value: Any) -> str:  # noqa: ANN401 - any scalar of YAML
    """As YAML; in quotes where it would be read as something else without them."""
    text = json.dumps(value)
    if _BRACES.search(text) or (isinstance(value, str) and any(each > _LARGEST for each in value)):
        raise ValueError(f"{value!r} would be read as something else")
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(f"- {value}") == [value]:
        return value
    return text


def _comment(indent: str, comment: str) -> Iterator[str]:
    line = f"{indent}#"
    for word in comment.split():
        if len(line) + len(word) + 1 > _WIDTH:
            yield line
            line = f"{indent}#"
        line += f" {word}"
    yield line
