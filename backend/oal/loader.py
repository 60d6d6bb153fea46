"""Loads scripts from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.oal.definitions import Definition, define
from backend.oal.functions import Function
from backend.oal.parser import Statement, parse_all
from backend.oal.syntax import DisableStatement, MetricStatement, OalError, Position

STANDARD = Path(__file__).parent.parent / "config" / "oal"
"""The folder of the scripts that come with the program."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was loaded."""

    definitions: Sequence[Definition]
    """In the order of the scripts."""
    skipped: Sequence[OalError] = ()
    """Metrics of sources that nothing feeds here, each with the reason."""
    disabled: frozenset[str] = frozenset()
    """Names that the scripts switch off: of metrics, of streams (backend/metrics/streams.py), or of nothing here."""
    named: frozenset[str] = frozenset()
    """Names of all metrics in the scripts, those that are switched off among them."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """The function of each metric, by name: how its stored values are read."""
        return {definition.name: definition.function for definition in self.definitions}


def load(paths: Path | Sequence[Path] = STANDARD, *, skip_unsupported: bool = False) -> Metrics:
    """Load scripts, all as if they were one. Nothing is changed, so that who has metrics can keep them on an error.

    Args:
        paths: files, and folders whose scripts (*.oal) are taken in the order of their names.
        skip_unsupported: leave out metrics of sources that nothing feeds here and report them, instead of refusing
            the script.

    Raises:
        OalError: a script cannot be read or is wrong.
    """
    return load_texts(read_scripts(paths), skip_unsupported=skip_unsupported)


def read_scripts(paths: Path | Sequence[Path]) -> dict[str, str]:
    """The texts of scripts, by the names of their files; as load(). Raises OalError for the first that has none."""
    texts: dict[str, str] = {}
    for path in [paths] if isinstance(paths, Path) else paths:
        files = sorted(path.glob("*.oal")) if path.is_dir() else [path]
        if not files:
            raise OalError(
                Position(str(path), 1, 1), "there is no script (*.oal) in this folder: name a file or another"
            )
        for file in files:
            try:
                texts[str(file)] = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or error  # the file's name is in the position
                raise OalError(Position(str(file), 1, 1), f"the script cannot be read: {reason}") from None
    return texts


def load_texts(texts: Mapping[str, str], *, skip_unsupported: bool = False) -> Metrics:
    """Load scripts given as text, by name. Raises OalError."""
    metrics, errors = check_texts(texts, skip_unsupported=skip_unsupported)
    if errors:
        raise errors[0]
    return metrics


def check_texts(texts: Mapping[str, str], *, skip_unsupported: bool = False) -> tuple[Metrics, list[OalError]]:
    """The metrics of scripts that are right, and everything that is wrong, in the order of the scripts."""
    statements: list[Statement] = []
    errors: list[OalError] = []
    for name, text in texts.items():
        found, wrong = parse_all(text, name)
        statements += found
        errors += wrong
    disabled = frozenset(statement.name for statement in statements if isinstance(statement, DisableStatement))
    definitions: list[Definition] = []
    skipped: list[OalError] = []
    first: dict[str, Position] = {}
    for statement in statements:
        if not isinstance(statement, MetricStatement):
            continue
        try:
            _check_name(statement, first)
            definition = define(statement)
        except OalError as error:
            error.quote(texts[statement.position.file])
            (skipped if error.unsupported and skip_unsupported else errors).append(error)
        else:
            if statement.name not in disabled:
                definitions.append(definition)
    order = {name: place for place, name in enumerate(texts)}
    errors.sort(key=lambda error: (order[error.position.file], error.position.line, error.position.column))
    return Metrics(definitions, skipped, disabled, frozenset(first)), errors


def _check_name(statement: MetricStatement, first: dict[str, Position]) -> None:
    known = first.setdefault(statement.name, statement.position)
    if known != statement.position:
        raise OalError(statement.position, f"{statement.name} is defined already, at {known}: rename one")
