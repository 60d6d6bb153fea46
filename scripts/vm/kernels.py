"""Stock Debian kernels: taken from the distribution's archive, unpacked and kept in .vm/."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.vm.skipped import Skipped

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".vm"

SERIES: Final = {
    "6.1": re.compile(r"6\.1\.0-(\d+)-amd64"),
    "6.12": re.compile(r"6\.12\.(\d+)\+deb12-amd64"),
}
"""Versions by series; of several the one with the highest number is taken. The cloud flavour lacks 9p."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted."""

    series: str
    version: str
    folder: Path
    """What its package holds, from / on."""

    @property
    def image(self) -> Path:
        """What a boot loader loads."""
        return self.folder / "boot" / f"vmlinuz-{self.version}"


def newest(series: str, versions: Iterable[str]) -> str | None:
    """The newest of those versions that belong to a series."""
    found = [match for version in versions if (match := SERIES[series].fullmatch(version))]
    return max(found, key=lambda match: int(match[1]))[0] if found else None


def fetch(series: str, cache: Path = CACHE) -> Kernel:
    """The series' newest kernel; without a package archive the newest of those that are kept.

    Raises:
        Skipped: There is none.
    """
    try:
        version = _offered(series)
        return Kernel(series, version, _unpacked(version, cache))
    except Skipped:
        kept = newest(series, (ready.parent.name for ready in cache.glob("*/ready")))
        if kept is None:
            raise
        return Kernel(series, kept, cache / kept)


def _offered(series: str) -> str:
    if shutil.which("apt-cache") is None:
        raise Skipped("kernels are taken from Debian's package archive, and there is no apt-get here")
    prefix = "linux-image-"
    listed = subprocess.run(["apt-cache", "pkgnames", prefix + series], capture_output=True, text=True, check=True)
    version = newest(series, (name.removeprefix(prefix) for name in listed.stdout.split()))
    if version is None:
        raise Skipped("the package archive has no such kernel; is this Debian 12, and has 'apt-get update' run?")
    return version


def _unpacked(version: str, cache: Path) -> Path:
    folder = cache / version
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    package = f"linux-image-{version}"
    if subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, check=False).returncode:
        raise Skipped(f"'apt-get download {package}' failed")
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, folder], check=True)
    archive.unlink()
    subprocess.run(["depmod", "-b", folder, version], check=True)
    (folder / "ready").touch()
    return folder
