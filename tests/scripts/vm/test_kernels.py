"""Which kernel is taken of those that the archive offers."""

import shutil
from pathlib import Path

import pytest

from scripts.vm import kernels
from scripts.vm.kernels import SERIES, newest
from scripts.vm.skipped import Skipped

OFFERED = [
    "6.1.0-9-amd64",
    "6.1.0-56-amd64",
    "6.1.0-57-cloud-amd64",
    "6.1.0-58-amd64-dbg",
    "6.12.9+deb12-amd64",
    "6.12.117+deb12-amd64",
    "6.12.118+deb12-rt-amd64",
    "amd64",
]


def test_the_highest_number_counts_and_other_flavours_do_not() -> None:
    assert newest("6.1", OFFERED) == "6.1.0-56-amd64"
    assert newest("6.12", OFFERED) == "6.12.117+deb12-amd64"


@pytest.mark.parametrize("series", SERIES)
def test_none(series: str) -> None:
    assert newest(series, ["amd64", "5.10.0-30-amd64"]) is None


def test_without_an_archive_the_newest_kept_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Skipped, match="no apt-get here"):
        kernels.fetch("6.1", tmp_path)
    for version in ("6.1.0-9-amd64", "6.1.0-10-amd64", "6.12.1+deb12-amd64"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "ready").touch()
    (tmp_path / "6.1.0-11-amd64").mkdir()  # was not unpacked to the end
    kernel = kernels.fetch("6.1", tmp_path)
    assert kernel.version == "6.1.0-10-amd64"
    assert kernel.image == tmp_path / "6.1.0-10-amd64" / "boot" / "vmlinuz-6.1.0-10-amd64"
