"""Variables in the values of a settings file, as SkyWalking's application.yml has them.

`${NAME:default}` is the value of the environment variable NAME, or the default when there is no such variable. The
name ends at the first colon. Placeholders may stand anywhere in a value, several in one, and within the name or the
default of another; what a variable holds is read in the same way.
"""

from collections.abc import Mapping

_OPEN, _CLOSE, _SEPARATOR = "${", "}", ":"
_DEEPEST = 16


class PlaceholderError(Exception):
    """A placeholder cannot be filled; the message says why and what to write instead."""


def substitute(text: str, environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """A value with its placeholders filled, and the variables that were found and used, in their order.

    Args:
        text: The value.
        environment: Variables by name.

    Raises:
        PlaceholderError: A variable without a default is not set, refers to itself, or a placeholder has no end.
    """
    used: list[str] = []
    filled = _fill(text, environment, (), used)
    return filled, tuple(dict.fromkeys(used))


def _fill(text: str, environment: Mapping[str, str], within: tuple[str, ...], used: list[str]) -> str:
    if len(within) > _DEEPEST:
        raise PlaceholderError(f"placeholders are nested more than {_DEEPEST} deep: write the value itself")
    parts: list[str] = []
    rest = 0
    while (start := text.find(_OPEN, rest)) >= 0:
        end = _end(text, start + len(_OPEN))
        inner = text[start + len(_OPEN) : end]
        parts += [text[rest:start], _value(inner, environment, within, used)]
        rest = end + len(_CLOSE)
    return "".join([*parts, text[rest:]])


def _end(text: str, start: int) -> int:
    """Where the placeholder closes whose inside begins at `start`; braces inside of it come in pairs."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == _CLOSE:
            if not depth:
                return place
            depth -= 1
    raise PlaceholderError(f"{text[start - len(_OPEN) :]!r} has no end: write ${{NAME:default}}")


def _value(inner: str, environment: Mapping[str, str], within: tuple[str, ...], used: list[str]) -> str:
    name, separator, default = _split(inner)
    name = _fill(name, environment, (*within, ""), used)
    if name in within:
        raise PlaceholderError(f"the variable {name} refers to itself: give it a value of its own")
    if name in environment:
        used.append(name)
        return _fill(environment[name], environment, (*within, name), used)
    if not separator:
        raise PlaceholderError(f"the variable {name} is not set: set it, or write ${{{name}:default}}")
    return _fill(default, environment, (*within, ""), used)


def _split(inner: str) -> tuple[str, str, str]:
    """Name, separator and default; a colon within a placeholder of the name does not end the name."""
    depth = 0
    for place, letter in enumerate(inner):
        depth += (letter == "{") - (letter == _CLOSE)
        if letter == _SEPARATOR and not depth:
            return inner[:place], _SEPARATOR, inner[place + 1 :]
    return inner, "", ""
