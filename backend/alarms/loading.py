"""Reads an alarm settings file, in the form of Apache SkyWalking's alarm-settings.yml: docs/alarms.md."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from backend.alarms.errors import AlarmError, UnknownMetricAlarmError
from backend.alarms.expressions import check_expression
from backend.alarms.fields import Fields
from backend.alarms.hook_loading import Hooks, load_hooks
from backend.alarms.rules import DEFAULT_MESSAGE, NameFilter, Pattern, Rule, check_message
from backend.alarms.states import Periods
from backend.query.catalog import Catalog
from common.yaml_file import YamlFileError, read_mapping

STANDARD = Path(__file__).parent.parent / "config" / "alarm-settings.yml"
"""The rules that come with the program."""
SUFFIX = "_rule"
"""How the names of rules end."""
MAXIMUM_RULES = 200
"""Most rules of a file."""
MAXIMUM_PERIOD = 500
"""Longest period of a rule, in minutes: as many buckets as an expression is asked for."""
MAXIMUM_SILENCE = 7 * 24 * 60
"""Longest silence and longest observation of a recovery, in minutes."""
MAXIMUM_TAGS = 20
"""Most tags of a rule."""


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    """A file that was checked."""

    rules: tuple[Rule, ...]
    hooks: Hooks


def load_standard(catalog: Catalog) -> AlarmSettings:
    """The rules that come with the program, without those whose metrics are not computed here.

    Raises:
        AlarmError: the file cannot be used.
    """
    return _load(STANDARD, catalog, UnknownMetricAlarmError)


def load(file: Path, catalog: Catalog) -> AlarmSettings:
    """The rules and hooks of a file. Changes nothing but what it returns.

    Args:
        file: the file.
        catalog: the metrics that rules can be about.

    Raises:
        AlarmError: the file or something in it cannot be used.
    """
    return _load(file, catalog)


def _load(file: Path, catalog: Catalog, *left_out: type[AlarmError]) -> AlarmSettings:
    try:
        content = Fields(read_mapping(file, "rules: {}"), str(file))
    except YamlFileError as error:
        raise AlarmError(str(error)) from None
    hooks = load_hooks(content.section("hooks"))
    section = content.section("rules")
    content.end()
    names = section.names()
    if len(names) > MAXIMUM_RULES:
        raise AlarmError(f"{section.where}: there are {len(names):,} rules, more than {MAXIMUM_RULES}: merge some")
    rules = []
    for name in names:
        with contextlib.suppress(*left_out):
            rules.append(_rule(name, section.section(name), catalog, hooks))
    return AlarmSettings(tuple(rules), hooks)


def _rule(name: str, fields: Fields, catalog: Catalog, hooks: Hooks) -> Rule:
    if not name.endswith(SUFFIX):
        raise AlarmError(f"{fields.where}: the name of a rule ends with {SUFFIX}: call it {name}{SUFFIX}")
    text = fields.text("expression")
    if not text:
        raise AlarmError(f"{fields.where}: it has no expression: give it one, such as avg(METRIC) > 1000")
    period = fields.whole("period", 1, 1, MAXIMUM_PERIOD)
    with fields.at("expression"):
        checked = check_expression(text, period, catalog)
    message = fields.text("message") or DEFAULT_MESSAGE.replace("{rule}", name)
    with fields.at("message"):
        check_message(message)
    tags = fields.texts_by_name("tags")
    if len(tags) > MAXIMUM_TAGS:
        raise AlarmError(f"{fields.place('tags')}: there are {len(tags)}, more than {MAXIMUM_TAGS}: leave some out")
    rule = Rule(
        name,
        text,
        checked.expression,
        checked.metrics,
        checked.scope,
        period,
        Periods(
            fields.whole("silence-period", period, 0, MAXIMUM_SILENCE),
            fields.whole("recovery-observation-period", 0, 0, MAXIMUM_SILENCE),
        ),
        _filter(fields),
        message,
        tags,
        _hooks(fields, hooks),
    )
    fields.end()
    return rule


def _filter(fields: Fields) -> NameFilter:
    return NameFilter(
        frozenset(fields.texts("include-names")),
        frozenset(fields.texts("exclude-names")),
        _pattern(fields, "include-names-regex"),
        _pattern(fields, "exclude-names-regex"),
    )


def _pattern(fields: Fields, name: str) -> Pattern | None:
    text = fields.text(name)
    with fields.at(name):
        return Pattern(text) if text else None


def _hooks(fields: Fields, hooks: Hooks) -> tuple[str, ...]:
    chosen = fields.texts("hooks")
    for name in chosen:
        if name not in hooks.by_name:
            known = ", ".join(hooks.by_name) or "none yet"
            raise AlarmError(f"{fields.place('hooks')}: there is no hook {name!r}: there is {known}")
    return tuple(dict.fromkeys(chosen)) or hooks.defaults
