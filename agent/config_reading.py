"""From what a file, the environment and the command line say to values that are known and checked."""

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from agent.config_key import NO_DEFAULT, Declared, declared, walk
from agent.config_upstream import ignored
from common.yaml_file import Lines, YamlFileError, read_located_mapping

LARGEST_NUMBER: Final = 10_000
"""Values of a file at most; aliases can make many out of few lines."""
LARGEST_DEPTH: Final = 32
_LONGEST_VALUE: Final = 100
"""Characters of a value that a message shows."""
_VARIABLE = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)(?::(.*))?\}$", re.DOTALL)

Section = type[msgspec.Struct]


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says where and why."""


class Reading:
    """What was said of the keys below a section, from where, and what of it was strange.

    Attributes:
        tree: values by key, section within section; only keys that are known.
        unknown: a message for each key that is not known.
        ignored: keys of SkyWalking Rover without a meaning here that were set, with where and why.
        variables: variables that the file asks for.
    """

    def __init__(self, root: Section, origin: str) -> None:
        """Nothing was said yet.

        Args:
            root: All that can be.
            origin: What messages name when they know nothing better.
        """
        self.tree: dict[str, Any] = {}
        self.unknown: list[str] = []
        self.ignored: dict[str, str] = {}
        self.variables: set[str] = set()
        self._root = root
        self._origin = origin
        self._origins: dict[str, str] = {}
        self._number = 0

    def read_file(self, path: Path, environment: Mapping[str, str]) -> None:
        """Take what a file says.

        Raises:
            ConfigurationError: it cannot be read, or is too large.
        """
        try:
            content, lines = read_located_mapping(path, "core:")
        except YamlFileError as error:
            raise ConfigurationError(str(error)) from error
        expanded = self._expand(content, environment, 0)
        self.tree = self._known(expanded, self._root, "", "", lambda key: _place(path, lines, key))

    def set(self, key: str, value: object, origin: str) -> None:
        """Take a value for a key by its path; a text is split at commas where the key takes a list."""
        *sections, name = key.split(".")
        tree, section = self.tree, self._root
        for part in sections:
            section = declared(section)[part].section or section
            below = tree.setdefault(part, {})
            if not isinstance(below, dict):
                return  # the wrong form is found by the check
            tree = below
        if isinstance(value, str) and msgspec.inspect.type_info(declared(section)[name].kind) in _LISTS:
            value = [part.strip() for part in value.split(",") if part.strip()]
        tree[name] = value
        self._origins[key] = origin

    def has(self, key: str) -> bool:
        """Whether a key was set."""
        tree: Any = self.tree
        for part in key.split("."):
            if not isinstance(tree, dict) or part not in tree:
                return False
            tree = tree[part]
        return True

    def origin(self, key: str) -> str:
        """Where a key was set: FILE:LINE, the variable, the command line; as far as that is known."""
        while key and key not in self._origins:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self._origins.get(key, self._origin)

    def check(self, decode: Callable[[type, object], object]) -> None:
        """Check each value by its key's type.

        Args:
            decode: makes values of the types that are none of msgspec's, or raises ValueError.

        Raises:
            ConfigurationError: some cannot be used; the message names all of them, each in a line.
        """
        problems = list(self._problems(self.tree, self._root, "", decode))
        if problems:
            raise ConfigurationError("\n".join(problems))

    def _expand(self, value: Any, environment: Mapping[str, str], depth: int) -> Any:  # noqa: ANN401 - YAML holds anything
        """Replace values of the form ${VARIABLE:default}; leave out keys without a value."""
        self._number += 1
        if self._number > LARGEST_NUMBER:
            raise ConfigurationError(f"{self._origin}: holds more than {LARGEST_NUMBER:,} values; look at its aliases")
        if depth > LARGEST_DEPTH:
            raise ConfigurationError(f"{self._origin}: is nested deeper than {LARGEST_DEPTH}; no key needs that")
        if isinstance(value, dict):
            expanded = {str(key): self._expand(below, environment, depth + 1) for key, below in value.items()}
            return {key: below for key, below in expanded.items() if below is not None}
        if isinstance(value, list):
            return [self._expand(below, environment, depth + 1) for below in value]
        match = _VARIABLE.match(value) if isinstance(value, str) else None
        if not match:
            return value
        self.variables.add(match[1])
        default = match[2] or ""
        # The braces of a template are none of YAML.
        return environment.get(match[1]) or (default if "{{" in default else _plain(default))

    def _known(self, content: Any, section: Section, key: str, written: str, place: Callable[[str], str]) -> Any:  # noqa: ANN401 - what a file holds
        """The content of a section without what is not known of it, under the names as they were declared."""
        if not isinstance(content, dict):
            return content  # found by the check
        fields = declared(section)
        # Upstream's keys may be written in letters of any size.
        spellings = {name.lower(): name for name in fields}
        known: dict[str, Any] = {}
        for spelled, value in content.items():
            name = spellings.get(spelled.lower(), "")
            path, there = _below(key, name or spelled), _below(written, spelled)
            if not name:
                self._note_unknown(path, list(fields), place(there))
                continue
            self._origins[path] = place(there)
            known[name] = self._known_value(fields[name], value, path, there, place)
        return known

    def _known_value(self, field: Declared, value: Any, path: str, there: str, place: Callable[[str], str]) -> Any:  # noqa: ANN401 - what a file holds
        if field.section is None:
            return value
        if not field.is_list:
            return self._known(value, field.section, path, there, place)
        if not isinstance(value, list):
            return value
        elements = []
        for number, each in enumerate(value):
            self._origins[f"{path}[{number}]"] = place(f"{there}[{number}]")
            elements.append(self._known(each, field.section, f"{path}[{number}]", f"{there}[{number}]", place))
        return elements

    def _note_unknown(self, path: str, names: list[str], place: str) -> None:
        why = ignored(path)
        if why is None:
            near = self._nearest(path, names)
            hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(names)}"
            self.unknown.append(f"{place}: unknown key {path!r} is not used; {hint}")
        else:
            self.ignored[path] = f"{path} ({place}): {why.reason}"

    def _nearest(self, path: str, names: list[str]) -> str:
        """The known key that is most like an unknown one: beside it, or of the same name elsewhere; empty for none."""
        prefix, _, name = path.rpartition(".")
        if near := difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=1):
            return _below(prefix, next(each for each in names if each.lower() == near[0]))
        everywhere = {key[:end] for key, _ in walk(self._root) for end in _ends(key)}
        same = sorted(key for key in everywhere if key.rpartition(".")[2].lower() == name.lower())
        near = difflib.get_close_matches(path, same, n=1, cutoff=0.0)
        return near[0] if near else ""

    def _problems(self, tree: Any, section: Section, key: str, decode: Callable[[type, object], object]) -> list[str]:  # noqa: ANN401 - what a file holds
        if not isinstance(tree, dict):
            names = ", ".join(declared(section))
            return [f"{self.origin(key)}: {key} is {_shown(tree)}; it must hold keys and values, of these: {names}"]
        problems = []
        for name, field in declared(section).items():
            path = _below(key, name)
            if name not in tree:
                if field.default is NO_DEFAULT:
                    problems.append(f"{self.origin(key)}: {key} has no {name!r}, which it needs")
            elif field.section is None:
                problems += self._problem(tree[name], field, path, decode)
            elif not field.is_list:
                problems += self._problems(tree[name], field.section, path, decode)
            elif not isinstance(tree[name], list):
                problems.append(f"{self.origin(path)}: {path} is {_shown(tree[name])}; it must be a list")
            else:
                for number, each in enumerate(tree[name]):
                    problems += self._problems(each, field.section, f"{path}[{number}]", decode)
        return problems

    def _problem(
        self, value: object, field: Declared, path: str, decode: Callable[[type, object], object]
    ) -> list[str]:
        try:
            msgspec.convert(value, field.kind, strict=False, dec_hook=decode)
        except msgspec.ValidationError:
            shown = "not usable" if field.key is not None and field.key.secret else _shown(value)
            return [f"{self.origin(path)}: {path} is {shown}; it must be {field.allowed}"]
        return []


_LISTS: Final = (msgspec.inspect.type_info(tuple[str, ...]),)
"""Types of keys that take several texts."""


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _ends(key: str) -> list[int]:
    """Where the paths of a key and of the sections around it end."""
    return [*(at for at, character in enumerate(key) if character == "."), len(key)]


def _place(path: Path, lines: Lines, key: str) -> str:
    """FILE:LINE of a key, or of what stands around it."""
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return f"{path}:{lines[key]}" if key else str(path)


def _plain(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
