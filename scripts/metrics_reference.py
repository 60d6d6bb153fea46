"""docs/metrics-reference.md, made from the scripts of metrics and the declarations of hooks: `make metrics-reference`.

A test compares the file with what this makes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.kernel.hook import Hook, Stage
from agent.kernel.hooks import HOOKS
from backend.ingest.batch import LogKind
from backend.oal.attributes import EventAttribute
from backend.oal.definitions import Definition
from backend.oal.loader import load
from backend.oal.sources import SOURCES
from backend.query.catalog import unit_of
from scripts.metric_words import LOGS, VALUES, meaning

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "metrics-reference.md"

SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "K8SService": ("Services", "of a service; those of HTTP are about the calls that it answered"),
    "K8SServiceInstance": ("Instances", "of an instance of a service; those of HTTP likewise"),
    "K8SEndpoint": ("Endpoints", "of a method and path that a service answers"),
    "K8SServiceRelation": ("Relations of services", "of the calls from one service to another"),
    "K8SServiceInstanceRelation": ("Relations of instances", "of the calls from one instance to another"),
    "K8SEndpointRelation": ("Relations of endpoints", "of the calls that an endpoint makes while it serves one"),
}
"""Heading and entity, by source."""

_STAGES_OF: Final[Mapping[LogKind, frozenset[Stage]]] = {
    LogKind.CONNECT: frozenset({Stage.CONNECT}),
    LogKind.ACCEPT: frozenset({Stage.ACCEPT}),
    LogKind.CLOSE: frozenset({Stage.CLOSE, Stage.PROCESS}),
    LogKind.READ: frozenset({Stage.READ}),
    LogKind.WRITE: frozenset({Stage.WRITE}),
    LogKind.HTTP: frozenset({Stage.TLS, Stage.MAPPING}),
}
"""Whose hooks a log of a kind needs, or some of them."""

BROADER: Final[Mapping[str, tuple[str, ...]]] = {
    "all of kernelLogs.read.l3Metrics": ("read.l3Metrics",),
    "all of kernelLogs.read.l2Metrics and l3Metrics": ("read.l2Metrics", "read.l3Metrics"),
    "all of kernelLogs.write.l3Metrics": ("write.l3Metrics",),
    "kernelLogs.write.l2Metrics of packages inside a call": ("write.l2Metrics",),
    "kernelLogs.read.l3Metrics.totalRecvDuration and totalDuration of packages in lists": (
        "read.l3Metrics.totalRecvDuration",
        "read.l3Metrics.totalDuration",
    ),
}
"""What a hook says of its loss without naming each field, and the fields or messages that it means."""

_HEAD: Final = """\
# Reference of metrics

<!-- Made by `make metrics-reference`. Do not edit: change what it is made from and make it again. -->

Every metric of the scripts in `backend/config/oal`, {count} in all. [concepts.md](concepts.md) says what the words
mean, [metrics.md](metrics.md) how values are computed and read, [hooks.md](hooks.md) what each hook is attached to.
`pyrover-backend oal explain METRIC` shows how one of them is computed, `pyrover-backend query metrics` lists those that
a running backend has.

**Unit.** `per minute` is a rate at every step. `ns`, `ms`, `bytes` and `count` are means or totals of the bucket, as
the sentence says. `1/10000` is a share: 9,950 is 99.5 %.

**Hooks.** A log of a read, a write or another call is made by the hooks at that call; where a row has a link, these are
all that it takes. Rows with names are measured between system call and wire, by the hooks that are named, and need the
hooks at the call besides. What is lost without one stands under [Hooks behind the metrics](#hooks-behind-the-metrics).
A value that was not measured is no value, and never 0.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def hooks_of(definition: Definition) -> tuple[Hook, ...]:
    """The hooks between system call and wire that measure a metric; none for what a call itself says."""
    attribute = definition.value.attribute if definition.value is not None else None
    if not isinstance(attribute, EventAttribute) or not attribute.stage:
        return ()
    return tuple(hook for hook in HOOKS if losses(hook, attribute.column))


def hooks_of_logs(kind: LogKind) -> tuple[Hook, ...]:
    """The hooks without which logs of a kind are missing, or some of them; of HTTP those beyond reads and writes."""
    named = re.compile(
        rf"\bkernelLogs\.{kind.name.lower()}(?![\w.])" if kind is not LogKind.HTTP else r"\bprotocolLog\b"
    )
    return tuple(
        hook for hook in HOOKS if hook.stage in _STAGES_OF[kind] or any(named.search(lost) for lost in hook.lost)
    )


def losses(hook: Hook, field: str) -> tuple[str, ...]:
    """What is lost of a field (its path below kernelLogs) without a hook, in the words of the hook."""
    named = re.compile(rf"\bkernelLogs\.{re.escape(field)}(?![\w.])")
    return tuple(
        lost
        for lost in hook.lost
        if named.search(lost) or any(field == of or field.startswith(f"{of}.") for of in BROADER.get(lost, ()))
    )


def _lines() -> Iterator[str]:
    definitions = load().definitions
    yield _HEAD.format(count=len(definitions))
    for scope, (heading, entity) in SCOPES.items():
        chosen = [definition for definition in definitions if definition.scope == scope]
        yield f"## {heading}\n\n{len(chosen)} metrics {entity} (`{scope}`).\n"
        yield "| Metric | Unit | Meaning | Hooks |\n|---|---|---|---|"
        yield from map(_row, chosen)
        yield ""
    yield "## Hooks behind the metrics\n"
    for kind, name in LOGS.items():
        yield f"### Logs of {name}\n"
        if kind is LogKind.HTTP:
            yield "An exchange is read from what the hooks of reads and writes capture. Beyond those it takes:\n"
        yield from _hooks_table(hooks_of_logs(kind))
    yield from _fields_table()
    yield from _socket_table()


def _row(definition: Definition) -> str:
    hooks = ", ".join(f"`{hook.name}`" for hook in hooks_of(definition))
    (kind,) = definition.events
    link = f"[{LOGS[kind]}](#{_anchor(kind)})"
    return f"| `{definition.name}` | {unit_of(definition)} | {meaning(definition)} | {hooks or link} |"


def _anchor(kind: LogKind) -> str:
    return f"logs-of-{LOGS[kind].lower().replace(' ', '-')}"


def _hooks_table(hooks: Iterable[Hook]) -> Iterator[str]:
    yield "| Hook | Lost without it |\n|---|---|"
    yield from (f"| `{hook.name}` | {'<br>'.join(hook.lost)} |" for hook in hooks)
    yield ""


def _fields_table() -> Iterator[str]:
    yield "### Between system call and wire\n"
    yield "Attributes are those of scripts ([oal.md](oal.md#sources)), fields those of the wire, below `kernelLogs`.\n"
    yield "| Attribute | Field | Hook | Lost without it |\n|---|---|---|---|"
    for path, attribute in SOURCES["K8SService"].attributes.items():
        if path in VALUES and isinstance(attribute, EventAttribute) and attribute.stage:
            for hook in HOOKS:
                if lost := losses(hook, attribute.column):
                    yield f"| `{path}` | `{attribute.column}` | `{hook.name}` | {'<br>'.join(lost)} |"
    yield ""


def _socket_table() -> Iterator[str]:
    yield "### Of all fields between system call and wire\n"
    yield "| Hook | Lost without it |\n|---|---|"
    yield from (f"| `{hook.name}` | {'<br>'.join(hook.lost)} |" for hook in HOOKS if hook.stage is Stage.SOCKET)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
