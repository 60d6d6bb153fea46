"""Loads scripts from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.oal.definitions import Definition, define
from backend.oal.functions import Function
from backend.oal.parser import parse
from backend.oal.syntax import DisableStatement, MetricStatement, OalError, Position

STANDARD = Path(__file__).parent.parent / "config" / "oal"
"""The folder of the scripts that come with the program."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was loaded."""

    definitions: Sequence[Definition]
    """In the order of the scripts."""
    skipped: Sequence[OalError] = ()
    """Metrics that are not supported yet, each with the reason."""
    disabled: frozenset[str] = frozenset()
    """Names that the scripts switch off, whether or not there is such a metric."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """The function of each metric, by name: how its stored values are read."""
        return {definition.name: definition.function for definition in self.definitions}


def load(path: Path = STANDARD, *, skip_unsupported: bool = False) -> Metrics:
    """Load a script, or all scripts (*.oal) of a folder, in the order of their names.

    Args:
        path: file or folder.
        skip_unsupported: leave out what this program cannot do yet and report it, instead of refusing the script.

    Raises:
        OalError: a script cannot be read or is wrong.
    """
    files = sorted(path.glob("*.oal")) if path.is_dir() else [path]
    if not files:
        raise OalError(Position(str(path), 1, 1), "there is no script (*.oal) in this folder")
    texts = {}
    for file in files:
        try:
            texts[str(file)] = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise OalError(Position(str(file), 1, 1), f"the script cannot be read: {error}") from None
    return load_texts(texts, skip_unsupported=skip_unsupported)


def load_texts(texts: Mapping[str, str], *, skip_unsupported: bool = False) -> Metrics:
    """Load scripts given as text, by name. Raises OalError."""
    statements = [statement for name, text in texts.items() for statement in parse(text, name)]
    disabled = frozenset(statement.name for statement in statements if isinstance(statement, DisableStatement))
    definitions: list[Definition] = []
    skipped: list[OalError] = []
    first: dict[str, Position] = {}
    for statement in statements:
        if not isinstance(statement, MetricStatement):
            continue
        if statement.name in first:
            raise OalError(
                statement.position, f"{statement.name} is defined already, at {first[statement.name]}: rename one"
            )
        first[statement.name] = statement.position
        try:
            definition = define(statement)
        except OalError as error:
            if not (error.unsupported and skip_unsupported):
                raise
            skipped.append(error)
            continue
        if statement.name not in disabled:
            definitions.append(definition)
    return Metrics(definitions, skipped, disabled)
