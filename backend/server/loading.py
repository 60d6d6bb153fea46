"""Where settings come from: later ones win.

1. What the program has.
2. backend/config/application.yml, which takes the variables of SkyWalking's backend (SW_CORE_GRPC_PORT and so on).
3. A file, in the form of SkyWalking's application.yml (modules, providers, names) or in the short form (sections and
   names as in Settings), or some of both.
4. The environment: PYROVER_BACKEND_ and the short form.
5. The command line.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from backend.server.application_file import ApplicationFile, Given
from backend.server.declarations import ADDRESSES, BY_PATH, SETTINGS
from backend.server.nearest import unknown
from backend.server.setting import PREFIX
from backend.server.settings import Settings, SettingsError
from common.yaml_file import YamlFileError, read_mapping

STANDARD = Path(__file__).parent.parent / "config" / "application.yml"
"""The settings file that comes with the program."""
_SHORT = tuple(dict.fromkeys(path.partition(".")[0] for path in BY_PATH))
"""The names of the short form: settings and sections."""

_logger = logging.getLogger(__name__)


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """The settings from all places.

    Args:
        file: A YAML file, or None.
        environment: Variables by name.
        flags: Values by name in Settings; None means not given.

    Raises:
        SettingsError: Something is unknown or not allowed.
    """
    chosen: dict[str, Given] = {}
    for given in _all(file, environment, flags):
        if given.path == "host":
            # Who says where to listen must not be overruled by a file that says more than was asked for.
            for address in ADDRESSES:
                if address in chosen and chosen[address].where != given.where:
                    del chosen[address]
        chosen[given.path] = given
    values: dict[str, Any] = {}
    for path, given in chosen.items():
        value = _value(given)
        if value is not None:
            section, _, name = path.rpartition(".")
            (values.setdefault(section, {}) if section else values)[name] = value
    settings = msgspec.convert(values, Settings)
    _check(settings)
    return settings


def _all(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Iterator[Given]:
    yield from ApplicationFile("environment", environment, _logger.warning).read(_read(STANDARD))
    if file is not None:
        content = _read(file)
        short = {name: value for name, value in content.items() if name in _SHORT or name in BY_PATH}
        modules = {name: value for name, value in content.items() if name not in short}
        yield from ApplicationFile(str(file), environment, _logger.warning, _SHORT).read(modules)
        yield from _short(short, str(file))
    yield from _variables(environment)
    for name, value in flags.items():
        if value is not None:
            yield Given(name, value, "command line", f"--{name.replace('_', '-')}")


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_mapping(file, "grpc_port: 11800")
    except YamlFileError as error:
        raise SettingsError(str(error)) from error


def _short(content: Mapping[str, object], where: str) -> Iterator[Given]:
    for name, value in content.items():
        if name in BY_PATH:
            yield Given(name, value, where, name)
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                path = f"{name}.{inner}"
                if path not in BY_PATH:
                    known = [one for one in BY_PATH if one.startswith(f"{name}.")]
                    raise SettingsError(f"{where}: {unknown('setting', path, known)}")
                yield Given(path, inner_value, where, path)
        elif value is not None:
            raise SettingsError(f"{where}: {name} is {value!r}; it must hold keys and values")


def _variables(environment: Mapping[str, str]) -> Iterator[Given]:
    known = {setting.variable: setting.path for setting in SETTINGS}
    for name, value in environment.items():
        if name.startswith(PREFIX):
            if name not in known:
                raise SettingsError(f"environment: {unknown('setting', name, known)}")
            yield Given(known[name], value, "environment", name)


def _value(given: Given) -> object:
    """The value of a setting; None for its default."""
    setting = BY_PATH[given.path]
    if given.value is None or (given.value == "" and not isinstance(setting.default, str | tuple)):
        return None
    try:
        value = setting.allowed.read(given.value)
    except (ValueError, OverflowError):
        raise SettingsError(f"{given}; it must be {setting.allowed.text}") from None
    return None if setting.as_default is not None and value == setting.as_default else value


def _check(settings: Settings) -> None:
    """What holds between settings."""
    ports = {"grpc_port": settings.grpc_port, "http_port": settings.http_port, **further_ports(settings)}
    taken: dict[int, str] = {}
    for name, port in ports.items():
        if port and (other := taken.setdefault(port, name)) != name:
            raise SettingsError(f"{other} and {name} are both {port}; they must differ")
    if settings.limits.message_bytes > settings.limits.buffered_bytes:
        raise SettingsError("limits.message_bytes is above limits.buffered_bytes: no such message could be taken")


def further_ports(settings: Settings) -> dict[str, int]:
    """The ports besides the two main ones that are asked for, by setting."""
    receivers, prometheus = settings.receivers, settings.prometheus
    ports = {
        "receivers.sharing_port": receivers.sharing_port,
        "receivers.ebpf_port": receivers.ebpf_port,
        "promql_port": settings.promql_port,
    }
    found = {name: port for name, port in ports.items() if port}
    return found | ({"prometheus.port": prometheus.port} if prometheus.kind == "prometheus" else {})
