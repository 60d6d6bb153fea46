"""Builds a Containerfile without a container engine: its steps, one after the other, in folders.

A stage begins with a bare Debian. Of each step this takes the words that our files use, and fails at any other.
"""

import fcntl
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.programs import ROOT

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_BASE = "debian:12-slim"
_CACHE = ROOT / ".vm" / "images"
_SECONDS = 900
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT")
_NETWORK_FILES = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf")
_CERTIFICATES = "usr/local/share/ca-certificates"

# What an engine mounts into a container, and our manifests; downloaded packages are kept for the next build.
_STEP = """
set -e
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
[ -d sys/kernel/tracing/events ] || mount -t tracefs tracefs sys/kernel/tracing
mount --rbind /dev dev
[ ! -d var/cache/apt/archives ] || mount --bind "$2" var/cache/apt/archives
shift 2
exec "$@"
"""


class ImageError(Exception):
    """No image can be made here; the text says why."""


@dataclass
class Image:
    """A file system, and how its program is started."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    folder: str = "/"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What a build step said and returned; as root."""
        passed = [f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ]
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        inside = [
            "chroot",
            str(self.root),
            "/usr/bin/env",
            "-i",
            f"--chdir={self.folder}",
            *passed,
            *settings,
            *command,
        ]
        outside = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*outside, "sh", "-c", _STEP, "sh", str(self.root), str(_CACHE / "archives"), *inside],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Words in capitals and what follows them."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


@contextmanager
def built(containerfile: Path, folder: Path) -> Iterator[Image]:
    """The image of a Containerfile, made in `folder` and removed in the end; one at a time, as they share packages.

    Raises:
        ImageError: a bare Debian or a package is out of reach.
    """
    stages: dict[str, Image] = {}
    try:
        with _alone():
            image = _made(containerfile, folder, stages)
        yield image
    finally:
        for stage in stages.values():
            shutil.rmtree(stage.root, ignore_errors=True)


def _made(containerfile: Path, folder: Path, stages: dict[str, Image]) -> Image:
    image = None
    for word, rest in instructions(containerfile.read_text()):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            assert base == _BASE
            image = _bare(folder / (name or "final"))
            stages[name or "final"] = image
        else:
            assert image is not None
            _take(word, rest, image, stages)
    assert image is not None
    return image


@contextmanager
def _alone() -> Iterator[None]:
    (_CACHE / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _take(word: str, rest: str, image: Image, stages: dict[str, Image]) -> None:
    match word:
        case "RUN":
            done = image.run("sh", "-ec", rest)
            if done.returncode:
                last = "\n".join([*done.stdout.splitlines()[-5:], *done.stderr.splitlines()[-15:]])
                if "apt-get update" in rest or "pip install" in rest:
                    raise ImageError(f"{rest}: {last}")
                raise AssertionError(f"{rest}: {last}")
        case "COPY":
            _copy(rest.split(), image, stages)
        case "WORKDIR":
            (image.root / rest.removeprefix("/")).mkdir(parents=True)
            image.folder = rest
        case "ENV":
            name, _, value = rest.partition("=")
            image.environment[name] = value
        case "USER":
            image.user = rest
        case "CMD":
            image.command = shlex.split(rest.strip("[]").replace(",", " "))
        case "EXPOSE":
            pass
        case _:
            raise AssertionError(f"{word}: say here what it does")


def _copy(words: Sequence[str], image: Image, stages: dict[str, Image]) -> None:
    """A folder's contents go into the target; with several sources, or a slash at its end, each goes below it."""
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words[0].removeprefix("--from=")].root
        words = words[1:]
    *names, target = words
    into = image.root / target.strip("/")
    for name in names:
        path = source / name.strip("/")
        below = target.endswith("/") or len(names) > 1
        goal = into / path.name if below and path.is_file() else into
        goal.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if source == ROOT else None
            shutil.copytree(path, goal, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(path, goal)


def _bare(root: Path) -> Image:
    if os.geteuid() != 0:
        raise ImageError("needs root to make a file system")
    if not shutil.which("mmdebstrap"):
        raise ImageError("needs mmdebstrap: scripts/setup test")
    archive = _CACHE / "base.tar"
    if not archive.exists():
        unfinished = _CACHE / "unfinished.tar"
        _checked(["mmdebstrap", "--quiet", "--variant=apt", "bookworm", str(unfinished)])
        unfinished.rename(archive)
    root.mkdir()
    _checked(["tar", "--extract", "--numeric-owner", "--directory", str(root), "--file", str(archive)])
    for name in _NETWORK_FILES:
        if (source := Path("/", name)).exists():
            shutil.copyfile(source, root / name)
    if (certificates := Path("/", _CERTIFICATES)).exists():  # of a proxy that this machine may be behind
        shutil.copytree(certificates, root / _CERTIFICATES, dirs_exist_ok=True)
    return Image(root)


def _checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ImageError(f"{command[0]} does not work here: {last}")
