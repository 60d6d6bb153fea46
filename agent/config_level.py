"""From which level on messages are told, by the names that SkyWalking Rover has for levels."""

import logging
from typing import Final

_NUMBERS: Final = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "PANIC": logging.CRITICAL,
}
_PACKAGES: Final = ("agent", "common")


class Level(str):
    """The name of a level, in capitals."""

    __slots__ = ()

    ALLOWED: Final = "one of " + ", ".join(_NUMBERS)

    @classmethod
    def parse(cls, value: object) -> "Level":
        """A level from a configuration value, in letters of any size.

        Raises:
            ValueError: there is no such level.
        """
        if not isinstance(value, str) or value.upper() not in _NUMBERS:
            raise ValueError(f"{value!r} is no level")
        return cls(value.upper())

    @property
    def number(self) -> int:
        """As the standard library's logging has it."""
        return _NUMBERS[self]


def apply(level: Level) -> None:
    """Tell messages of the agent from a level on; who takes them and where to is not changed."""
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(level.number)
