"""A bare Debian 12 in a folder, entered in namespaces of its own: no mount or process of it outlives the test.

It shares the kernel and the network of the machine that runs the tests.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import psutil

from tests.e2e.programs import ROOT, read_line
from tests.waiting import PATIENCE

CHECKOUT: Final = Path("/pyrover")
"""Where Vagrant puts the checkout in the machine."""
USER: Final = "vagrant"

_CACHE: Final = ROOT / ".vm" / "debian-12"
_PACKAGES: Final = ("ca-certificates", "sudo")
"""What the tests build on and Vagrant's box has, beyond what every Debian has."""
_INSTALL_SECONDS: Final = 900.0
_PASSED_ON: Final = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT")
_NETWORK_FILES: Final = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf")
_CERTIFICATES: Final = "usr/local/share/ca-certificates"

# What a machine has mounted when it starts, but neither tracefs nor the BPF file system; then wait for the end.
_START: Final = """
set -e
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount --bind "$2/archives" var/cache/apt/archives
mount --bind "$2/pip" home/vagrant/.cache/pip
echo ready
exec cat
"""


class MachineError(Exception):
    """No bare Debian can be had here; the text says why."""


@dataclass(frozen=True)
class Machine:
    """A running machine."""

    root: Path
    """Its file system as seen from outside: without what is mounted inside."""
    init: int
    """A process in its namespaces."""

    def run(self, *command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """What a command in the machine printed and returned."""
        home = "/root" if user == "root" else f"/home/{user}"
        environment = [f"HOME={home}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        environment += [f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ]
        enter = ["nsenter", "--target", str(self.init), "--mount", "--pid", "--uts"]
        enter += ["chroot", f"--userspec={user}", str(self.root), "/usr/bin/env", "-i", *environment]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False, cwd="/"
        )

    def said(self, *command: str, user: str = "root") -> str:
        """What a command in the machine that must succeed printed."""
        done = self.run(*command, user=user)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def provision(self, *arguments: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run the script that is tested, by default as Vagrant does."""
        script = str(CHECKOUT / "vagrant" / "provision.sh")
        return self.run("bash", script, *(arguments or (str(CHECKOUT),)), user=user)


@contextmanager
def bare_system() -> Iterator[Path]:
    """A bare Debian as an archive, made once per checkout; one run of the tests at a time.

    Raises:
        MachineError: It cannot be made here.
    """
    if os.geteuid() != 0:
        raise MachineError("needs root to make a machine of its own")
    if not shutil.which("mmdebstrap"):
        raise MachineError("needs mmdebstrap: scripts/setup test")
    _checked(["unshare", "--mount", "--pid", "--uts", "--fork", "true"])
    for name in ("archives", "pip"):
        (_CACHE / name).mkdir(parents=True, exist_ok=True)
    archive = _CACHE / f"bare-{'-'.join(_PACKAGES)}.tar"
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            unfinished = _CACHE / "unfinished.tar"
            include = f"--include={','.join(_PACKAGES)}"
            _checked(["mmdebstrap", "--quiet", "--variant=apt", include, "bookworm", str(unfinished)])
            unfinished.rename(archive)
        yield archive


@contextmanager
def started(archive: Path, folder: Path) -> Iterator[Machine]:
    """A machine with a copy of this checkout; its file system is in `folder` and is removed at the end.

    Raises:
        MachineError: Its package archive is out of reach.
    """
    root = folder / "root"
    try:
        root.mkdir()
        _checked(["tar", "--extract", "--numeric-owner", "--directory", str(root), "--file", str(archive)])
        _furnish(root)
        with _running(root) as machine:
            machine.said("useradd", "--create-home", "--shell", "/bin/bash", USER)
            machine.said("chown", "--recursive", f"{USER}:{USER}", f"/home/{USER}", str(CHECKOUT))
            machine.said("update-ca-certificates")
            updated = machine.run("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
            if updated.returncode:
                raise MachineError(f"the package archive is out of reach: {updated.stderr.strip().splitlines()[-1]}")
            machine.said("apt-get", "autoclean", "-q")
            yield machine
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _running(root: Path) -> Iterator[Machine]:
    unshare = ["unshare", "--mount", "--propagation=private", "--pid", "--uts", "--fork", "--kill-child"]
    command = [*unshare, "sh", "-c", _START, "sh", str(root), str(_CACHE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        try:
            read_line(running.stdout.fileno(), "the machine")
            (init,) = psutil.Process(running.pid).children()
            yield Machine(root, init.pid)
        finally:
            running.kill()
            running.wait(PATIENCE)


def _furnish(root: Path) -> None:
    """What Vagrant's box brings, the way to the network of this machine, and the checkout."""
    for name in _NETWORK_FILES:
        if (source := Path("/", name)).exists():
            shutil.copyfile(source, root / name)
    if (certificates := Path("/", _CERTIFICATES)).exists():
        shutil.copytree(certificates, root / _CERTIFICATES, dirs_exist_ok=True)
    sudoers = root / "etc" / "sudoers.d" / USER
    sudoers.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    no_daemons = root / "usr" / "sbin" / "policy-rc.d"  # installed packages must not start theirs
    no_daemons.write_text("#!/bin/sh\nexit 101\n")
    no_daemons.chmod(0o755)
    (root / "home" / USER / ".cache" / "pip").mkdir(parents=True)
    copy_checkout(root / CHECKOUT.relative_to("/"))


def copy_checkout(target: Path) -> None:
    """Copy this checkout as Vagrant does: without what git ignores, and without git's own folder."""
    patterns = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]

    def ignored(folder: str, names: list[str]) -> set[str]:
        relative = Path(folder).relative_to(ROOT)
        paths = {name: str(relative / name) for name in names}
        return {
            name
            for name, path in paths.items()
            if name == ".git" or any(fnmatch(path if "/" in pattern else name, pattern) for pattern in patterns)
        }

    shutil.copytree(ROOT, target, symlinks=True, ignore=ignored)


def _checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise MachineError(f"{command[0]} does not work here: {last}")
