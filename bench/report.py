"""The table of a benchmark: printed, kept as JSON, and compared with the last run of the same benchmark.

Results are kept in .run/bench/NAME.json, which git ignores: the last twenty runs, each with its rows, its settings,
when it ran, on what, and how busy the machine was. A run is compared with the last one of the same settings only,
figure by figure: `1.25x` beside a figure says that it is a quarter larger than last time. What is better, more or less,
is for the reader to say.
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / ".run" / "bench"
KEPT_RUNS: Final = 20


@dataclass
class _Row:
    figures: Mapping[str, float]
    remark: str


@dataclass
class Report:
    """What a benchmark has measured.

    Attributes:
        name: Of the benchmark; the name of its file.
        settings: What makes runs comparable, in words: runs with other settings are not compared.
        folder: Where results are kept.
    """

    name: str
    settings: str
    folder: Path = FOLDER
    _rows: dict[str, _Row] = field(default_factory=dict)

    def row(self, label: str, figures: Mapping[str, float], remark: str = "") -> None:
        """Add a row.

        Args:
            label: What was measured; unlike that of any other row.
            figures: Numbers by the head of their column, which names the unit.
            remark: What else is to be said of the row, behind the figures.

        Raises:
            ValueError: There is such a row already.
        """
        if label in self._rows:
            raise ValueError(f"{self.name}: there is a row {label!r} already; labels tell rows apart")
        self._rows[label] = _Row(dict(figures), remark)

    def finish(self) -> str:
        """Keep the result; the table, compared with the last run of the same settings."""
        runs = self._kept()
        before = next((run for run in reversed(runs) if run["settings"] == self.settings), None)
        text = self._table(before)
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = [*runs, self._run()][-KEPT_RUNS:]
        new = self.folder / f"{self.name}.json.new"
        new.write_text(json.dumps(kept, indent=1) + "\n")
        new.rename(self._path)
        return text

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.json"

    def _kept(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        try:
            runs: list[dict[str, Any]] = json.loads(self._path.read_text())
        except ValueError as error:
            raise SystemExit(
                f"{self._path} is not JSON ({error}): move it away, there is nothing else in it"
            ) from error
        return runs

    def _run(self) -> dict[str, Any]:
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": self.settings,
            "commit": _commit(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "load": os.getloadavg()[0],
            "rows": {label: dict(row.figures) for label, row in self._rows.items()},
            "remarks": {label: row.remark for label, row in self._rows.items() if row.remark},
        }

    def _table(self, before: Mapping[str, Any] | None) -> str:
        heads = list(dict.fromkeys(head for row in self._rows.values() for head in row.figures))
        old = before["rows"] if before else {}
        lines = [["", *heads, ""]]
        for label, row in self._rows.items():
            cells = [_cell(row.figures.get(head), old.get(label, {}).get(head)) for head in heads]
            lines.append([label, *cells, row.remark])
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        text = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:-1]), line[-1]]).rstrip()
            for line in lines
        ]
        compared = (
            f"beside each figure: its ratio to the run of {before['when']}, with a load of {before['load']:.1f} then"
            if before
            else "no run with these settings before this one"
        )
        head = f"{self.name}: {self.settings}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        return "\n".join([head, *text, compared])


def _cell(value: float | None, before: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004 - as it reads best
    return f"{text} {value / before:.2f}x" if before else text


def _commit() -> str:
    """Of the sources, or "" where they are not from git."""
    try:
        said = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return said.stdout.strip()
