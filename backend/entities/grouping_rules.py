"""Rules of users that say which endpoints of a service are one, from a file in the shape that SkyWalking reads.

    automatic: true                        # identifiers in paths of all services are grouped too; true by default
    grouping:
      - service-name: shop.default         # "*" for every service
        rules:
          - /orders/{id}/lines             # {...} is any text without a slash
          - GET:/carts/{cart}              # only this method
          - endpoint-name: /files          # the name of what the pattern matches as a whole
            regex: /files/.+

A rule whose name begins with a slash is about the paths of all methods; another is about whole names of endpoints, as
they are written: `GET:/carts/7`. The rules of a service are tried in their order, then those of "*"; the first that
matches gives the name. Patterns are those of RE2 (https://github.com/google/re2/wiki/Syntax). All rules of a service
are matched at once, in time in proportion to the name, whatever the patterns and however many.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import re2

from common.yaml_file import YamlFileError, read_mapping

ANY_SERVICE = "*"
MAXIMUM_RULES = 1_000
"""Most rules of a file."""
LONGEST_PATTERN = 1_000
"""Characters of a rule's name and of its pattern."""
MEMORY = 64 << 20
"""Bytes that the matchers of all services may take together; each may take LEAST_MEMORY."""
LEAST_MEMORY = 256 << 10

_PROBE = "probe"
_VARIABLE = re.compile(r"\{[^{}/]*\}")


class GroupingError(Exception):
    """Rules that cannot be used; the message names the place and says what to do."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    name: str
    """What the endpoints that match are called; only the path when `of_path`."""
    of_path: bool
    regex: str
    """Of whole names of endpoints."""


class ServiceRules:
    """The rules of one service.

    Args:
        rules: In the order in which they are tried.
        memory: Bytes that matching may take.

    Raises:
        MemoryError: That is not enough.
    """

    def __init__(self, rules: Sequence[Rule], memory: int) -> None:
        self._rules = tuple(rules)
        self._matcher = re2.Set.FullMatchSet(_options(memory))
        try:
            for rule in rules:
                self._matcher.Add(rule.regex)
            # A matcher that has not enough memory may say that nothing matches. This matches if anything can.
            self._matcher.Add(_PROBE)
            self._matcher.Compile()
        except re2.error:
            raise MemoryError from None
        if len(rules) not in (self._matcher.Match(_PROBE) or ()):
            raise MemoryError

    def __len__(self) -> int:
        return len(self._rules)

    def apply(self, name: str) -> str | None:
        """The name of the group that an endpoint belongs to; None when no rule matches."""
        found = self._matcher.Match(name)
        if not found or (first := min(found)) == len(self._rules):
            return None
        rule = self._rules[first]
        method, colon, _ = name.partition(":") if rule.of_path else ("", "", name)
        return f"{method}{colon}{rule.name}"


@dataclass(frozen=True, slots=True)
class GroupingRules:
    """The rules of a file."""

    by_service: Mapping[str, ServiceRules] = field(default_factory=dict)
    automatic: bool = True
    """Whether identifiers in paths are grouped where no rule matches."""

    def apply(self, service: str, name: str) -> str | None:
        """The name of the group that an endpoint of a service belongs to; None when no rule matches."""
        for owner in (service, ANY_SERVICE):
            rules = self.by_service.get(owner)
            if rules is not None and (grouped := rules.apply(name)) is not None:
                return grouped
        return None


def load_rules(file: Path) -> GroupingRules:
    """The rules of a file.

    Raises:
        GroupingError: The file or a rule in it cannot be used.
    """
    try:
        content = read_mapping(file, "grouping: []")
    except YamlFileError as error:
        raise GroupingError(str(error)) from error
    return read_rules(content, str(file))


def read_rules(content: Mapping[str, Any], place: str) -> GroupingRules:
    """The rules in the content of a file.

    Args:
        content: What the YAML holds.
        place: The file, for errors.

    Raises:
        GroupingError: A rule cannot be used.
    """
    _check_keys(content, {"grouping", "automatic"}, place)
    automatic = content.get("automatic", True)
    if not isinstance(automatic, bool):
        raise GroupingError(f"{place}: automatic is {automatic!r}; it must be true or false")
    rules: dict[str, list[Rule]] = {}
    count = 0
    for number, entry in enumerate(_list(content.get("grouping"), f"{place}: grouping"), 1):
        where = f"{place}: grouping, entry {number}"
        if not isinstance(entry, dict):
            raise GroupingError(f"{where}: must have a service-name and rules, not be a {type(entry).__name__}")
        _check_keys(entry, {"service-name", "rules"}, where)
        service = entry.get("service-name")
        if not isinstance(service, str) or not service:
            raise GroupingError(f"{where}: service-name must be the name of a service, or {ANY_SERVICE!r} for all")
        given = _list(entry.get("rules"), f"{where}: rules")
        count += len(given)
        if count > MAXIMUM_RULES:
            raise GroupingError(f"{where}: a file has at most {MAXIMUM_RULES} rules; let one pattern do for several")
        rules.setdefault(service, []).extend(
            _rule(rule, f"{where}, rule {position}") for position, rule in enumerate(given, 1)
        )
    memory = max(MEMORY // max(len(rules), 1), LEAST_MEMORY)
    return GroupingRules({name: _compiled(of, memory, f"{place}: {name}") for name, of in rules.items()}, automatic)


def _compiled(rules: Sequence[Rule], memory: int, where: str) -> ServiceRules:
    try:
        return ServiceRules(rules, memory)
    except MemoryError:
        raise GroupingError(f"{where}: the patterns take more memory than {memory} bytes; write simpler ones") from None


def _rule(rule: object, where: str) -> Rule:
    if isinstance(rule, str):
        rule = {"endpoint-name": rule}
    if not isinstance(rule, dict):
        raise GroupingError(f"{where}: must be a path such as /orders/{{id}}, or have an endpoint-name and a regex")
    _check_keys(rule, {"endpoint-name", "regex"}, where)
    name = rule.get("endpoint-name")
    if not isinstance(name, str) or not name:
        raise GroupingError(f"{where}: endpoint-name must be the name that the endpoints get")
    regex = rule.get("regex", _pattern(name))
    if not isinstance(regex, str) or not regex:
        raise GroupingError(f"{where}: regex must be a pattern of what endpoints are called")
    for text in (name, regex):
        if len(text) > LONGEST_PATTERN:
            raise GroupingError(f"{where}: {text[:40]!r}... is longer than {LONGEST_PATTERN} characters")
    _check(regex, where)
    of_path = name.startswith("/")
    return Rule(name, of_path, f"[^:]*:(?:{regex})" if of_path else regex)


def _pattern(name: str) -> str:
    """The pattern of a name in which {...} stands for any text without a slash."""
    fixed = _VARIABLE.split(name)
    return "[^/]+".join(re2.escape(text) for text in fixed)


def _check(regex: str, where: str) -> None:
    try:
        re2.compile(regex, _options(LEAST_MEMORY))
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise GroupingError(
            f"{where}: {regex!r} is no pattern of RE2: {reason}. RE2 has no look-around and no back references"
        ) from error


def _options(memory: int) -> Any:  # noqa: ANN401 - re2 ships no types
    options = re2.Options()
    options.max_mem = memory
    options.never_capture = True
    options.log_errors = False
    return options


def _list(value: object, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise GroupingError(f"{where} must be a list, not a {type(value).__name__}")
    return value


def _check_keys(content: Mapping[Any, Any], known: set[str], where: str) -> None:
    if unknown := content.keys() - known:
        raise GroupingError(
            f"{where}: there is no key {min(map(str, unknown))!r}; known are {', '.join(sorted(known))}"
        )
