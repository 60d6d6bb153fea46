"""docs/configuration.md and backend/config/application.yml, made from the declarations.

    python -m backend.server.configuration_page

A test compares the files with what this makes.
"""

import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import yaml

from backend.server.application_file import SELECTOR
from backend.server.declarations import SETTINGS
from backend.server.loading import STANDARD
from backend.server.setting import Setting
from backend.server.upstream import IGNORED_KEYS, IGNORED_MODULES

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

_HEAD: Final = """\
# Configuration of the backend

<!-- Made by `make configuration`. Do not edit: change what it is made from and make it again. -->

A setting can be given in five places; a later one wins over an earlier one:

1. What the program has.
2. The variables of SkyWalking's backend, `SW_...` in the table.
3. A file: `pyrover-backend serve --config FILE`.
4. The variables `PYROVER_BACKEND_...`: the short form in capitals, with `_` for each point, such as
   `PYROVER_BACKEND_LIMITS_JOURNAL_BYTES` for `limits.journal_bytes`.
5. The options of `pyrover-backend serve`: `--host`, `--grpc-port`, `--http-port` and `--data`.

A file holds what differs, and nothing else need be there. It may be written in the form of SkyWalking's
`application.yml`, in which modules have a selected provider and values may have variables, or in a short form, or some
in the one and some in the other:

```yaml
core:
  default:
    gRPCPort: ${SW_CORE_GRPC_PORT:11800}
storage:
  selector: ${SW_STORAGE:clickhouse}
  clickhouse:
    host: ${CLICKHOUSE_HOST:${FALLBACK_HOST:127.0.0.1}}
```

```yaml
grpc_port: 11800
store:
  kind: clickhouse
  clickhouse_host: 127.0.0.1
```

`${NAME:default}` is the variable NAME of the environment, or the default when there is no such variable; it may stand
anywhere in a value, more than once, and within another one. A variable that has neither a value nor a default is an
error. In the short form there are no variables.

A wrong setting is refused at the start: the error names the file or variable, the setting, its value and what it may
be, and for a name that is not known the nearest that is. Numbers and switches that are empty have their default.
"""

_TABLE: Final = """
| Setting | Short form | Variable of SkyWalking's | Default | It must be | Meaning |
|---|---|---|---|---|---|
"""

_UPSTREAM: Final = """\
## A file of SkyWalking's

SkyWalking's own `application.yml` can be given as it is, but for the storage: there `duckdb` or `clickhouse` has to be
selected. What it sets and nothing here corresponds to is passed over with a line in the log each:
"""

_TAIL: Final = """\
## Reloading

`SIGHUP`, or `POST /api/reload` on the console's port, reads the files of `files.*` again: the scripts, the apdex
thresholds, the dashboards, the rules that group endpoints, the table of addresses and the rules of alarms. With
`http_token` set, the request needs it, as every one does. With only `token` set, the request needs that, in the header
`Authentication` or as `Authorization: Bearer TOKEN`. Each file is judged by itself. One that is right takes the place
of the old one between two flushes; one that is wrong is refused with its error in the log and in the answer, and the
old one stays. The answer has the status 200 when all were right, 422 when one was refused:

```json
{"parts": [{"part": "metrics", "outcome": "replaced", "detail": "379 metrics"}]}
```

`pyrover_backend_reloads_total{part,outcome}` counts them.

The files of tokens and certificates (`token_file`, `http_token_file`, `grpc_tls.*`, `http_tls.*`) are read again with
them, and by themselves some ten seconds after they have changed
([security.md](security.md#replacing-tokens-and-certificates)). Everything else is read at the start only.
"""


def page() -> str:
    """The page, as a whole."""
    return "".join(_page())


def _page() -> Iterator[str]:
    yield _HEAD
    for module, settings in groupby(SETTINGS, _module):
        yield f"\n## {module}\n"
        yield _TABLE
        yield from (_row(setting) for setting in settings)
    yield "\n" + _UPSTREAM + "\n"
    modules = ", ".join(f"`{module}`" for module in sorted(IGNORED_MODULES))
    yield (
        "\n".join(textwrap.wrap(f"* The modules {modules}.", 120, subsequent_indent="  ", break_on_hyphens=False))
        + "\n"
    )
    for provider, keys in IGNORED_KEYS.items():
        if keys:
            text = f"* Of `{provider}`: {', '.join(f'`{key}`' for key in sorted(keys))}."
            yield "\n".join(textwrap.wrap(text, 120, subsequent_indent="  ")) + "\n"
    yield "\nA setting that switches TLS on for another port than those of `core` is refused and not passed over.\n\n"
    yield _TAIL


def _module(setting: Setting) -> str:
    return setting.key.partition(".")[0]


def _row(setting: Setting) -> str:
    default = _text(setting.default)
    cells = (
        f"`{setting.key}`",
        f"`{setting.path}`",
        f"`{setting.upstream}`" if setting.upstream else "",
        f"`{default}`" if default else "",
        setting.allowed.text,
        setting.meaning,
    )
    return f"| {' | '.join(cells)} |\n"


def application_file() -> str:
    """The settings file that comes with the program."""
    return "".join(_application_file())


def _application_file() -> Iterator[str]:
    yield "# The settings of the backend, as it has them when nothing else is said: docs/configuration.md.\n"
    yield "# Made by `make configuration`.\n"
    for module, settings in groupby(SETTINGS, _module):
        yield f"\n{module}:\n"
        by_provider: dict[str, list[Setting]] = {}
        for setting in settings:
            _, provider, *_ = setting.key.split(".")
            by_provider.setdefault(provider, []).append(setting)
        if SELECTOR not in by_provider:
            yield f"  {SELECTOR}: default\n"
        for provider, chosen in by_provider.items():
            if provider == SELECTOR:
                yield _line(chosen[0], "  ")
                continue
            yield f"  {provider}:\n"
            for setting in chosen:
                yield _line(setting, "    ")


def _line(setting: Setting, indent: str) -> str:
    name = setting.key.rpartition(".")[2]
    default = _text(setting.default)
    value = f"${{{setting.upstream}:{default}}}" if setting.upstream else default
    # Read back as what it is: a text that is empty would be nothing otherwise.
    written = yaml.safe_dump({name: value}, default_flow_style=False) if not setting.upstream else f"{name}: {value}\n"
    if not setting.upstream and not isinstance(setting.default, str):
        written = f"{name}: {default}\n"
    return f"{indent}{written.rstrip()}\n"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write both."""
    PAGE.write_text(page())
    STANDARD.write_text(application_file())


if __name__ == "__main__":
    main()
