"""docs/agent-configuration.md, made from the declarations of the keys: `python -m agent.config_page`.

A test compares the file with what this makes.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent.config import ENVIRONMENT, KEYS, Configuration
from agent.config_durations import Duration, format_duration
from agent.config_key import NO_DEFAULT, Declared
from agent.config_upstream import ANALYZER_VARIABLES, IGNORED, VARIABLES_ALONE

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "agent-configuration.md"

_PAGE_NAME: Final = re.compile(r"(?:docs/)?\b([a-z-]+\.md)\b")
_HEAD: Final = """\
# Configuration of the agent

<!-- Made by `make agent-configuration`. Do not edit: change what it is made from and make it again. -->

`pyrover-agent run --config FILE`: a file in YAML. What it does not say is taken from the defaults below. An environment
variable that is set and not empty goes before the file, and an argument of the command line before both. A value of the
form `${VARIABLE:default}` is taken from the environment.

```yaml
core:
  backend:
    addr: ${BACKEND:backend-0.example:11800,backend-1.example:11800}
access_log:
  flush:
    period: 2s
```

* Keys and variables that mean the same as in SkyWalking Rover are called as there, so its file can be used as it is. As
  there, keys may be written in capitals or small letters.
* A key that is not known is not used. A warning says so, with the file, the line and the known key that is nearest to
  it. The same goes for variables that begin with `ROVER_`.
* A key of Rover that has no meaning here is not used either; one warning names all of them.
* A value that cannot be used ends the program. The message names every such value, where it stands, and what is
  allowed.
* A length of time is written like `500ms`, `10s`, `1m` or `1h30m`; a plain number means seconds.
* A file has at most 10,000 values, aliases counted as what they stand for.
"""

_UPSTREAM: Final = """\
## Keys of SkyWalking Rover without a meaning here

They are accepted, with all keys below them and the variables that begin so.
"""

_ANALYZERS: Final = """\
## Variables of the analyzers

Where the file has no `analyzers`, these change those that there are without it
([discovery.md](discovery.md#analyzers)). The numbers count from 0.
"""


def render() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for field in msgspec.structs.fields(Configuration):
        section = type(field.default)
        yield f"## {field.name}\n"
        yield f"{_linked(section.__doc__ or '')}\n"
        keys = {path: key for path, key in KEYS.items() if path.partition(".")[0] == field.name}
        yield from _table(("Key", "Variable", "Default", "Meaning"), [_row(*each) for each in keys.items()])
        yield ""
    yield _UPSTREAM
    ignored = [
        (f"`{path}`", f"`{each.variables}`", _escaped(each.reason))
        for path, each in sorted(IGNORED.items(), key=lambda item: item[0])
    ]
    alone = [("", f"`{variable}`", _escaped(reason)) for variable, reason in VARIABLES_ALONE.items()]
    yield from _table(("Key", "Variables", "Why"), [*ignored, *alone])
    yield ""
    yield _ANALYZERS
    parts = [
        (f"`{variable}`", str(part.analyzer), part.field if part.filter is None else f"{part.field}[{part.filter}]")
        for variable, part in ANALYZER_VARIABLES.items()
    ]
    yield from _table(("Variable", "Analyzer", "Part"), parts)


def _row(path: str, field: Declared) -> tuple[str, ...]:
    if field.key is None:
        raise AssertionError(f"{path} says nothing of itself: declare it by agent.config_key.Key")
    variables = [variable for variable, key in ENVIRONMENT.items() if key == path]
    # The one that goes before the others stands first.
    names = "<br>".join(f"`{variable}`" for variable in reversed(variables))
    return f"`{path}`", names, _default(field), _linked(_escaped(field.key.meaning))


def _default(field: Declared) -> str:
    value = field.default
    if value is NO_DEFAULT:
        return "has to be there"
    if field.is_list and value:
        return f"{len(value)} of them"  # type: ignore[arg-type] # lists of sections are tuples
    if value in ("", None, ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{format_duration(value) if isinstance(value, Duration) else value}`"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _linked(text: str) -> str:
    """Declarations name other pages by their files, as messages and code do."""
    return _PAGE_NAME.sub(r"[\1](\1)", text)


if __name__ == "__main__":
    PAGE.write_text(render())
