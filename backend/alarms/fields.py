"""The keys and values of a section of a YAML file, taken one by one; what is wrong is named by its place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backend.alarms.errors import AlarmError

LONGEST_TEXT = 8_192
"""Characters of a text."""


class Fields:
    """A section. What it raises is AlarmError. No message has a value.

    Args:
        content: What YAML read there; None for nothing.
        where: Its place, such as `alarm-settings.yml: rules.slow_rule`.
    """

    def __init__(self, content: object, where: str) -> None:
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise AlarmError(f"{where}: it must hold keys and values")
        for name in content:
            if not isinstance(name, str):
                raise AlarmError(f"{where}: the key {name} is no text for YAML: put it in quotes")
        self.where = where
        self._content: Mapping[str, object] = content
        self._taken: set[str] = set()

    def names(self) -> list[str]:
        """The keys, in the order in which they are written."""
        return list(self._content)

    def place(self, name: str) -> str:
        """The place of a key."""
        return f"{self.where}.{name}" if ": " in self.where else f"{self.where}: {name}"

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Say of what is raised in the block that it is about a key."""
        try:
            yield
        except AlarmError as error:
            raise type(error)(f"{self.place(name)}: {error}") from None

    def end(self) -> None:
        """Raise when there is a key that nobody took."""
        for name in self._content:
            if name not in self._taken:
                known = ", ".join(sorted(self._taken))
                raise AlarmError(f"{self.place(name)}: there is no such key: use {known}")

    def section(self, name: str) -> "Fields":
        """The section under a key."""
        return Fields(self._take(name), self.place(name))

    def text(self, name: str) -> str:
        """A text; empty when it is not given."""
        value = self._take(name)
        return "" if value is None else self._text(value, self.place(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise AlarmError(f"{self.place(name)}: it must be a list")
        return tuple(self._text(item, self.place(name)) for item in value)

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Texts by name. Numbers and the like are taken as they are written in YAML's usual form."""
        section = self.section(name)
        return {key: section.text(key) for key in section.names()}

    def flag(self, name: str) -> bool:
        """Yes or no; no when it is not given."""
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            raise AlarmError(f"{self.place(name)}: it must be true or false")
        return bool(value)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number."""
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise AlarmError(f"{self.place(name)}: it must be a whole number from {least} to {most:,}")
        return value

    def _take(self, name: str) -> object:
        self._taken.add(name)
        return self._content.get(name)

    @staticmethod
    def _text(value: object, where: str) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str | int | float):
            raise AlarmError(f"{where}: it must be text")
        text = str(value)
        if len(text) > LONGEST_TEXT:
            raise AlarmError(f"{where}: it has {len(text):,} characters, more than {LONGEST_TEXT:,}: shorten it")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise AlarmError(f"{where}: it has half of a character (U+D800 to U+DFFF): write whole ones")
        return text
