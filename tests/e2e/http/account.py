"""What one side says of its HTTP exchanges, and where two accounts of the same exchanges differ."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

SHOWN = 12
"""Differences that are shown at most; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One exchange. None is what this source does not say."""

    method: str
    path: str
    """Without its query."""
    status: int | None = None
    request_body_bytes: int | None = None
    """On the wire, without the framing of chunks and frames, before a content coding is undone."""
    response_body_bytes: int | None = None
    request_header_bytes: int | None = None
    """HTTP/1: from the first byte of the start line to the end of the empty line, and trailers."""
    response_header_bytes: int | None = None
    """The same, interim responses included."""
    version: int | None = None
    """1 or 2."""
    tls: bool | None = None
    grpc_status: int | None = None


SAID = tuple(field.name for field in fields(Expected) if field.name not in {"method", "path"})


def read_account(text: str) -> list[Expected]:
    """One JSON object a line, with the names above; a target has its query cut off here."""
    return [_exchange(json.loads(line)) for line in text.splitlines() if line]


def _exchange(said: dict[str, Any]) -> Expected:
    return Expected(**{**said, "path": said["path"].partition("?")[0]})


def differences(first: Sequence[Expected], second: Sequence[Expected], names: tuple[str, str]) -> list[str]:
    """How two accounts of the same exchanges differ, in any order of their exchanges; empty when they do not."""
    found = []
    grouped, other = _grouped(first), _grouped(second)
    for key in sorted(grouped.keys() | other.keys()):
        ours, theirs = grouped.get(key, []), other.get(key, [])
        if len(ours) != len(theirs):
            found.append(f"{' '.join(key)}: {len(ours)} by {names[0]}, {len(theirs)} by {names[1]}")
            continue
        for one, another in zip(ours, theirs, strict=True):
            said = [
                f"{name} {getattr(one, name)} by {names[0]}, {getattr(another, name)} by {names[1]}"
                for name in SAID
                if None not in {getattr(one, name), getattr(another, name)}
                and getattr(one, name) != getattr(another, name)
            ]
            if said:
                found.append(f"{' '.join(key)}: {'; '.join(said)}")
    return found


def merged(first: Sequence[Expected], second: Sequence[Expected], names: tuple[str, str]) -> list[Expected]:
    """Two accounts that must agree, as one that says what either says."""
    check(first, second, names)
    whole = []
    other = _grouped(second)
    for key, ours in _grouped(first).items():
        for one, another in zip(ours, other[key], strict=True):
            missing = {name: getattr(another, name) for name in SAID if getattr(one, name) is None}
            whole.append(replace(one, **missing))
    return whole


def check(first: Sequence[Expected], second: Sequence[Expected], names: tuple[str, str]) -> None:
    """Fail with the differences of two accounts, if there are any."""
    if found := differences(first, second, names):
        rest = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise AssertionError("\n".join([f"{names[0]} and {names[1]} differ:", *found[:SHOWN], *rest]))


def _grouped(exchanges: Iterable[Expected]) -> dict[tuple[str, str], list[Expected]]:
    """By method and path; within a group in the order of what is said.

    Workloads give each exchange a path of its own, wherever their programs can. Where paths repeat, all exchanges of
    a path are alike, so that their order does not matter.
    """
    groups: dict[tuple[str, str], list[Expected]] = defaultdict(list)
    for exchange in exchanges:
        groups[exchange.method, exchange.path].append(exchange)
    for group in groups.values():
        group.sort(key=_order)
    return groups


def _order(exchange: Expected) -> tuple[int, ...]:
    return tuple(-1 if (value := getattr(exchange, name)) is None else int(value) for name in SAID)
