"""What can be set, and how: defaults, then a YAML file, then the environment, then the command line."""

import difflib
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from backend.ingest.budget import DEFAULT_BUDGET
from backend.ingest.framing import DEFAULT_MESSAGE_LIMIT
from backend.ingest.stream import Period
from common.yaml_file import YamlFileError, read_mapping

PREFIX = "PYROVER_BACKEND_"
_LARGEST_PORT = 65_535


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what it may be."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of what is taken in."""

    message_bytes: int = DEFAULT_MESSAGE_LIMIT
    """Largest message."""
    buffered_bytes: int = DEFAULT_BUDGET
    """Most bytes that all calls hold together."""


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The times that are believed, and those that the backend takes."""

    retention_days: float = 7.0
    """Logs older than this are dropped, and so is what was stored of them."""
    clock_difference_seconds: float = 300.0
    """Logs that are further in the future than this are dropped."""
    shutdown_seconds: float = 10.0
    """What open calls get to finish when the backend stops."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    host: str = "0.0.0.0"  # noqa: S104 - agents on other machines send here, as to SkyWalking's backend
    """Address to listen on."""
    grpc_port: int = 11800
    """Where agents send; 0 lets the system choose."""
    http_port: int = 12800
    """The console and its API; 0 lets the system choose."""
    data: str = ""
    """Folder of the store; empty for the usual place of the user."""
    token: str = ""
    """What agents must send as the metadata `authentication`; empty to ask for nothing."""
    limits: Limits = Limits()
    times: Times = Times()

    @property
    def folder(self) -> Path:
        """Folder of the store."""
        return Path(self.data) if self.data else usual_folder()

    @property
    def period(self) -> Period:
        """The times that are believed."""
        return Period(
            retention=timedelta(days=self.times.retention_days),
            clock_difference=timedelta(seconds=self.times.clock_difference_seconds),
        )


def usual_folder() -> Path:
    """/var/lib/pyrover for root, else pyrover in the user's folder for data (XDG base directories)."""
    if os.geteuid() == 0:
        return Path("/var/lib/pyrover")
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "pyrover"


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """The settings from all places; later ones win.

    Args:
        file: A YAML file, or None.
        environment: Variables such as PYROVER_BACKEND_GRPC_PORT and PYROVER_BACKEND_LIMITS_MESSAGE_BYTES.
        flags: Values by name; None means not given.

    Raises:
        SettingsError: Something is unknown or out of range.
    """
    merged = _read(file) if file is not None else {}
    for path, value in _from_environment(environment):
        target = merged
        for section in path[:-1]:
            target = target.setdefault(section, {})
        target[path[-1]] = value
    merged.update({name: value for name, value in flags.items() if value is not None})
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error)) from error
    _check(settings)
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        content = read_mapping(file, "grpc_port: 11800")
    except YamlFileError as error:
        raise SettingsError(str(error)) from error
    _check_names(content, Settings, str(file), "")
    return content


def _sections() -> dict[str, type[msgspec.Struct]]:
    return {"limits": Limits, "times": Times}


def _check_names(content: Mapping[Any, Any], kind: type[msgspec.Struct], where: str, path: str) -> None:
    for name, value in content.items():
        if name not in kind.__struct_fields__:
            known = [path + field for field in kind.__struct_fields__]
            raise SettingsError(f"{where}: {_unknown(f'{path}{name}', known)}")
        if isinstance(value, dict) and name in _sections():
            _check_names(value, _sections()[name], where, f"{name}.")


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
    return f"there is no setting {name!r}; {hint}"


def _variables() -> Iterator[tuple[str, tuple[str, ...]]]:
    for field in Settings.__struct_fields__:
        if field in _sections():
            for inner in _sections()[field].__struct_fields__:
                yield f"{PREFIX}{field}_{inner}".upper(), (field, inner)
        else:
            yield f"{PREFIX}{field}".upper(), (field,)


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    known = dict(_variables())
    for name, value in environment.items():
        if name.startswith(PREFIX):
            if name not in known:
                raise SettingsError(f"environment: {_unknown(name, list(known))}")
            yield known[name], value


def _check(settings: Settings) -> None:
    for name, port in (("grpc_port", settings.grpc_port), ("http_port", settings.http_port)):
        if not 0 <= port <= _LARGEST_PORT:
            raise SettingsError(f"{name} is {port}; a port is a number from 0 to {_LARGEST_PORT}")
    if settings.grpc_port == settings.http_port != 0:
        raise SettingsError(f"grpc_port and http_port are both {settings.grpc_port}; they must differ")
    positive = {
        "limits.message_bytes": settings.limits.message_bytes,
        "limits.buffered_bytes": settings.limits.buffered_bytes,
        "times.retention_days": settings.times.retention_days,
        "times.clock_difference_seconds": settings.times.clock_difference_seconds,
        "times.shutdown_seconds": settings.times.shutdown_seconds,
    }
    for name, value in positive.items():
        if value <= 0:
            raise SettingsError(f"{name} is {value}; it must be above 0")
    if settings.limits.message_bytes > settings.limits.buffered_bytes:
        raise SettingsError("limits.message_bytes is above limits.buffered_bytes: no such message could be taken")
