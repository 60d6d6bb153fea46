"""bench/report.py: results are kept, and a run is compared with the last one of the same settings."""

import json
from pathlib import Path

import pytest

from bench.report import KEPT_RUNS, Report


def table(folder: Path, settings: str, **figures: float) -> list[list[str]]:
    """The words of a run's lines, from the heads of the columns on."""
    report = Report("example", settings, folder)
    for label, value in figures.items():
        report.row(label, {"us": value})
    return [line.split() for line in report.finish().splitlines()[1:]]


def test_each_figure_has_its_ratio_to_the_last_run_of_the_same_settings(tmp_path: Path) -> None:
    assert table(tmp_path, "10 rounds", small=2.0, large=4000.0)[:3] == [["us"], ["small", "2"], ["large", "4,000"]]
    assert table(tmp_path, "20 rounds", small=9.0)[1] == ["small", "9"]
    second = table(tmp_path, "10 rounds", small=3.0, large=1000.0, new=0.125)
    assert second[1:4] == [["small", "3", "1.50x"], ["large", "1,000", "0.25x"], ["new", "0.125"]]
    assert table(tmp_path, "10 rounds", small=3.0)[1] == ["small", "3", "1.00x"]


def test_a_figure_that_was_zero_has_no_ratio_and_one_that_is_missing_a_dash(tmp_path: Path) -> None:
    table(tmp_path, "", zero=0.0)
    report = Report("example", "", tmp_path)
    report.row("zero", {"us": 5.0})
    report.row("other", {"MB": 1.5}, "a remark")
    lines = [line.split() for line in report.finish().splitlines()]
    assert lines[1:4] == [["us", "MB"], ["zero", "5", "-"], ["other", "-", "1.5", "a", "remark"]]


def test_only_so_many_runs_are_kept_and_each_says_where_it_ran(tmp_path: Path) -> None:
    for number in range(KEPT_RUNS + 3):
        table(tmp_path, "", row=float(number))
    runs = json.loads((tmp_path / "example.json").read_text())
    assert [run["rows"] for run in runs] == [{"row": {"us": float(number)}} for number in range(3, KEPT_RUNS + 3)]
    assert set(runs[-1]) >= {"when", "settings", "commit", "kernel", "python", "processors", "load"}
    assert [path.name for path in tmp_path.iterdir()] == ["example.json"]


def test_two_rows_of_one_label_are_refused(tmp_path: Path) -> None:
    report = Report("example", "", tmp_path)
    report.row("one", {"us": 1.0})
    with pytest.raises(ValueError, match="a row 'one' already"):
        report.row("one", {"us": 2.0})


def test_a_damaged_file_is_named_and_kept(tmp_path: Path) -> None:
    damaged = tmp_path / "example.json"
    damaged.write_text("[")
    with pytest.raises(SystemExit, match=r"example\.json is not JSON .*: move it away"):
        table(tmp_path, "", row=1.0)
    assert damaged.read_text() == "["
