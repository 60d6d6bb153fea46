"""A systemd of its own, in namespaces of its own, that runs the units as they are.

It has the programs, libraries and devices of this machine, and nothing else of it: no other units, an empty /var and
/tmp, a network without neighbours and a part of the control groups. Only what a unit cannot have there is different:
the node's processes are in another place, and what a unit says goes to a file, as there is no journal.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.kernel.loader_options import OBJECTS
from tests.e2e.programs import ROOT, program
from tests.waiting import PATIENCE, until

SYSTEMD = Path("/usr/lib/systemd/systemd")
UNITS = ROOT / "deploy" / "systemd"
NAMES = tuple(sorted(path.stem for path in UNITS.glob("*.service")))

_TARGETS = ("sysinit", "basic", "network-online", "multi-user", "shutdown")
_GROUPS = [Path("/sys/fs/cgroup", part) for part in (".", "unified", "systemd", "memory", "pids", "devices")]
_HOST = "/run/host-proc"
_ENTER = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/host-proc /run/lock /run/units /run/nothing
mount --rbind /proc /run/host-proc
cp -r "$1"/. /run/units/
mount -t proc proc /proc
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    umount --recursive /sys/fs/cgroup
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
mount --bind /run/units /usr/lib/systemd/system
mount --bind /run/nothing /usr/lib/systemd/system-generators
mount -t tmpfs tmpfs /etc/systemd/system
mkdir /run/objects /run/checkout
mount --bind "$3" /run/objects
mount --bind "$2" /run/checkout
for folder in /opt /var/lib /var/cache /var/log /tmp; do mount -t tmpfs tmpfs "$folder"; done
# Its programs name the folder in which they were installed.
mkdir -p /opt/pyrover /var/cache/pyrover "$2"
mount --bind /run/checkout /opt/pyrover
[ -e "$2/.git" ] || mount --bind /run/checkout "$2"
mount --bind /run/objects /var/cache/pyrover
ip link set lo up
exec env -i container=test PATH="$PATH" /usr/lib/systemd/systemd --system --log-target=null --show-status=no
"""


class Systemd:
    """One that runs.

    Args:
        process: Its first process, as this machine counts them.
    """

    def __init__(self, process: int) -> None:
        self._process = process

    def inside(self, command: Sequence[str | Path], text: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command where the units are, which reads a text."""
        entering = ["nsenter", "--target", str(self._process), "--mount", "--net", "--pid"]
        return subprocess.run(
            [*entering, *command], input=text, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def control(self, *arguments: str) -> str:
        """What systemctl answers."""
        done = self.inside(["systemctl", *arguments])
        assert done.returncode == 0, f"systemctl {' '.join(arguments)}: {done.stderr}\n{self.said()}"
        return done.stdout

    def shows(self, unit: str) -> dict[str, str]:
        """How a unit is."""
        asked = "ActiveState,Result,NRestarts,ExecMainStatus"
        return dict(line.split("=", 1) for line in self.control("show", "--property", asked, unit).splitlines())

    def said(self) -> str:
        """All that the units have said."""
        files = Path(f"/proc/{self._process}/root/run").glob("*.log")
        return "".join(f"{path.stem}: {line}\n" for path in files for line in path.read_text().splitlines())

    def is_ready(self) -> bool:
        """Whether it has started what it is to start, or what of that can be started."""
        return self.inside(["systemctl", "is-system-running"]).stdout.strip() in {"running", "degraded"}

    def until_said(self, words: str) -> str:
        """The first line with these words, as soon as one is there."""
        return until(
            lambda: next((line for line in self.said().splitlines() if words in line), ""),
            lambda: f"something says {words!r}; said was:\n{self.said()}",
            pause=0.1,
        )


def _write_units(folder: Path) -> None:
    for name in _TARGETS:
        (folder / f"{name}.target").write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n")
    (folder / "default.target").symlink_to("multi-user.target")
    for name in NAMES:
        shutil.copy(UNITS / f"{name}.service", folder)
        addition = folder / f"{name}.service.d"
        addition.mkdir()
        log = f"/run/{name}.log"
        lines = ["[Service]", f"StandardOutput=append:{log}", f"StandardError=append:{log}"]
        (addition / "test.conf").write_text("\n".join([*lines, f"Environment=ROVER_HOST_PROC_MAPPING={_HOST}", ""]))


def _child(process: int) -> int:
    """The only child, once there is one."""
    children = Path(f"/proc/{process}/task/{process}/children")
    return int(until(lambda: children.read_text().split(), "systemd begins")[0])


@contextmanager
def running(folder: Path) -> Iterator[Systemd]:
    """Begin one, with its units in an empty folder; skips the test where that cannot be."""
    if not SYSTEMD.exists() or os.geteuid() != 0:
        pytest.skip("needs systemd, and root")
    if ROOT.parts[1] in {"root", "home", "tmp"}:
        pytest.skip("the units hide /home, /root and /tmp, and this checkout is there")
    _write_units(folder)
    OBJECTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    groups = [each / f"pyrover-test-{os.getpid()}" for each in _GROUPS if (each / "cgroup.procs").exists()]
    try:
        for group in groups:
            group.mkdir()
    except OSError as error:
        pytest.skip(f"this machine makes no control groups: {error.strerror}")
    try:
        joining = "".join(f"echo $$ > {group}/cgroup.procs && " for group in groups)
        unshare = "exec unshare --mount --pid --net --cgroup --fork --kill-child --propagation private"
        entering: list[str | Path] = ["sh", "-c", _ENTER, "sh", folder, ROOT, OBJECTS.parent]
        with program(["sh", "-c", f'{joining}{unshare} "$@"', "sh", *entering]) as process:
            started = Systemd(_child(process.pid))
            until(lambda: process.poll() is not None or started.is_ready(), "systemd is ready", pause=0.1)
            assert process.poll() is None, "systemd has not begun; what it could not do stands above"
            yield started
    finally:
        for group in groups:
            _remove(group)


def _remove(group: Path) -> None:
    """Remove a group and those below it, once what was in them is gone."""

    def is_removed() -> bool:
        with suppress(OSError):  # its last processes are about to end
            for below, _, _ in os.walk(group, topdown=False):
                Path(below).rmdir()
        return not group.exists()

    until(is_removed, f"{group} is empty")
