"""A settings file in the form of SkyWalking's application.yml: modules, of each a selected provider, and its settings.

    storage:
      selector: ${SW_STORAGE:duckdb}
      duckdb:
        folder: /data

What SkyWalking has and this backend does not is passed over with a warning each, so that a file of SkyWalking's can be
used. What neither has is an error.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from backend.server.allowed import Choice, unquoted
from backend.server.declarations import BY_KEY
from backend.server.nearest import unknown
from backend.server.placeholders import PlaceholderError, substitute
from backend.server.settings import SettingsError
from backend.server.upstream import IGNORED_KEYS, IGNORED_MODULES, IGNORED_PROVIDERS, REFUSED_KEYS

SELECTOR: Final = "selector"
OFF: Final = "-"
"""The selector of a module that is not wanted."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave a setting."""

    path: str
    """The setting's place in Settings."""
    value: object
    where: str
    """The file or other place where it is written."""
    name: str
    """What the setting is called there."""
    variables: tuple[str, ...] = ()
    """Variables that the value was made from."""

    def __str__(self) -> str:
        made = f" (from {', '.join(self.variables)})" if self.variables else ""
        return f"{self.where}: {self.name} is {self.value!r}{made}"


def _providers() -> dict[str, set[str]]:
    """The providers of each module of which something is here."""
    found: dict[str, set[str]] = {}
    for key in (*BY_KEY, *(f"{provider}." for provider in IGNORED_KEYS)):
        module, provider, *name = key.split(".", 2)
        if name:
            found.setdefault(module, set()).add(provider)
    return found


PROVIDERS: Final = _providers()


@dataclass(frozen=True, slots=True)
class ApplicationFile:
    """One such file.

    Args:
        where: What to call it in errors.
        environment: Variables by name.
        warn: Told of each thing that is passed over.
        others: Names that stand beside modules, which errors suggest too.
    """

    where: str
    environment: Mapping[str, str]
    warn: Callable[[str], object]
    others: tuple[str, ...] = ()

    def read(self, content: Mapping[str, object]) -> Iterator[Given]:
        """The settings that it gives, in its order.

        Raises:
            SettingsError: A name is unknown, or a placeholder cannot be filled.
        """
        for module, held in content.items():
            if module in PROVIDERS:
                yield from self._module(module, self._mapping(module, held))
            elif module in IGNORED_MODULES:
                selected = self._selected(module, self._mapping(module, held))
                if selected != OFF:
                    self._pass_over(module)
            else:
                known = (*self.others, *PROVIDERS)
                raise SettingsError(f"{self.where}: {unknown('setting', str(module), known)}")

    def _module(self, module: str, held: Mapping[str, object]) -> Iterator[Given]:
        selected = self._selected(module, held)
        selector = BY_KEY.get(f"{module}.{SELECTOR}")
        known = PROVIDERS[module] | IGNORED_PROVIDERS.get(module, frozenset())
        if selector is not None and selected is not None:
            if selected == OFF and isinstance(selector.allowed, Choice) and "none" in selector.allowed.words:
                selected = "none"
            yield self._given(f"{module}.{SELECTOR}", held[SELECTOR], selector.path, selected)
        elif selected is not None and selected not in {*PROVIDERS[module], OFF}:
            words = " or ".join(sorted(PROVIDERS[module]))
            raise SettingsError(f"{self.where}: {module}.{SELECTOR} is {selected!r}; it must be {words}")
        for provider, settings in held.items():
            name = f"{module}.{provider}"
            if provider == SELECTOR:
                continue
            if provider not in known:
                raise SettingsError(f"{self.where}: {unknown('provider', name, (f'{module}.{one}' for one in known))}")
            if provider in PROVIDERS[module] and selected != OFF:
                for key, value in self._mapping(name, settings).items():
                    yield from self._setting(name, key, value)

    def _setting(self, provider: str, key: str, value: object) -> Iterator[Given]:
        name = f"{provider}.{key}"
        if setting := BY_KEY.get(name):
            yield self._given(name, value, setting.path)
        elif key in REFUSED_KEYS:
            if self._filled(name, value)[0] not in (False, "false", ""):  # a list has no hash
                hint = (
                    "leave it off; core.default.gRPCSslEnabled is for all ports of agents, restSSLEnabled the console's"
                )
                raise SettingsError(f"{self.where}: {name} is {value!r}; {hint}")
        elif key in IGNORED_KEYS.get(provider, ()):
            self._pass_over(name)
        else:
            near = [known for known in BY_KEY if known.startswith(f"{provider}.")]
            raise SettingsError(f"{self.where}: {unknown('setting', name, near)}")

    def _given(self, name: str, value: object, path: str, filled: object = None) -> Given:
        found, variables = self._filled(name, value)
        return Given(path, found if filled is None else filled, self.where, name, variables)

    def _selected(self, module: str, held: Mapping[str, object]) -> str | None:
        """The provider that is selected; None when the file does not say."""
        if held.get(SELECTOR) is None:
            return None
        return str(self._filled(f"{module}.{SELECTOR}", held[SELECTOR])[0])

    def _filled(self, name: str, value: object) -> tuple[object, tuple[str, ...]]:
        """A value with its placeholders filled. Text that YAML did not see as text stays what it is."""
        if isinstance(value, list):
            parts = [self._filled(name, part) for part in value]
            return [part for part, _ in parts], tuple(used for _, more in parts for used in more)
        if not isinstance(value, str):
            return value, ()
        try:
            filled, variables = substitute(value, self.environment)
        except PlaceholderError as error:
            raise SettingsError(f"{self.where}: {name} is {value!r}; {error}") from error
        return (filled if filled == value else unquoted(filled)), variables

    def _mapping(self, name: str, held: object) -> Mapping[str, object]:
        if held is None:
            return {}
        if not isinstance(held, dict):
            raise SettingsError(f"{self.where}: {name} is {held!r}; it must hold keys and values")
        return held

    def _pass_over(self, name: str) -> None:
        self.warn(f"{self.where}: {name} is a setting of SkyWalking's that means nothing here; it is passed over")
