"""Booting a kernel with virtme-ng in QEMU: this machine's file system, copy on write, and an emulated processor."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from scripts.vm.kernels import CACHE, ROOT, Kernel
from scripts.vm.skipped import Skipped

REQUIREMENTS: Final = ROOT / "requirements" / "vm.txt"
SILENCE_SECONDS: Final = 1800.0
"""A machine that says nothing for so long is ended. Compiling says nothing: on a busy machine it takes up to
`agent.kernel.loader_options.SECONDS`, and then says itself why it failed."""
LIMIT_SECONDS: Final = 4 * 3600.0
"""And so is one that works for so long."""
END_SECONDS: Final = 30.0
"""What a machine gets to end in after its last line."""
# Mounted by enter.sh.
_SHARE: Final = (
    "-fsdev local,id=pyrover,path=/,security_model=none,readonly=on,multidevs=remap "
    "-device virtio-9p-pci,fsdev=pyrover,mount_tag=pyrover-root"
)

_running: Final[set[subprocess.Popen[bytes]]] = set()


class MachineError(Exception):
    """A machine did not do its work; the message says how that showed."""


def fetch_booter() -> Path:
    """The folder with virtme-ng's programs.

    Raises:
        Skipped: It could not be installed.
    """
    programs = CACHE / "venv" / "bin"
    stamp = CACHE / "venv" / "made-from"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", CACHE / "venv"], check=True)
        pip: list[str | Path] = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "--require-hashes", "-r", REQUIREMENTS], check=False).returncode:
            raise Skipped("virtme-ng could not be installed (the reason is above)")
        stamp.write_text(REQUIREMENTS.read_text())
    return programs


def lines(programs: Path, kernel: Kernel, plan: Path, console: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """What a machine prints while it follows a plan.

    Args:
        programs: Where virtme-ng is.
        kernel: What to boot.
        plan: A file that the machine reads.
        console: A file that gets the kernel's messages and the standard error output.
        variables: Environment inside the machine.

    Raises:
        MachineError: The machine was silent, or worked, for too long.
    """
    inside = " ".join(f"{name}={value}" for name, value in variables.items())
    command: list[str | Path] = [programs / "vng", "--run", kernel.image, "--disable-kvm", "--force-9p"]
    command += [
        "--cpus",
        "2",
        "--memory",
        "3G",
        "--verbose",
        f"--qemu-opts={_SHARE}",
        "--",
        f"env {inside} scripts/vm/enter.sh {plan}",
    ]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    with (
        console.open("wb") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True,
        ) as machine,
    ):  # fmt: skip
        assert machine.stdout is not None  # noqa: S101 - a pipe, as asked
        _running.add(machine)
        try:
            yield from _lines_of(machine.stdout.fileno())
            with contextlib.suppress(subprocess.TimeoutExpired):
                machine.wait(END_SECONDS)  # virtme-ng removes its files
        finally:
            # Also when the one who reads stops early: nothing goes on in the background.
            _end(machine)
            _running.discard(machine)


def end_all() -> None:
    """End every machine, whoever reads from it: that one sees the end of its lines."""
    for machine in tuple(_running):
        _end(machine)


def _end(machine: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(machine.pid, signal.SIGKILL)


def _lines_of(descriptor: int) -> Iterator[str]:
    end = time.monotonic() + LIMIT_SECONDS
    rest = b""
    while True:
        if not select.select([descriptor], [], [], SILENCE_SECONDS)[0]:
            raise MachineError(f"it said nothing for {SILENCE_SECONDS:.0f} s")
        if not (part := os.read(descriptor, 1 << 16)):
            break
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
        if time.monotonic() > end:
            raise MachineError(f"it was not done after {LIMIT_SECONDS / 60:.0f} min")
    if rest:
        yield rest.decode(errors="replace")
