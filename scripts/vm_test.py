"""Load every kernel program on stock Debian kernels, each booted in a virtual machine, for `make vm-test`.

    .venv/bin/python scripts/vm_test.py

Kernels are taken from the distribution's archive and kept in .vm/, and so is virtme-ng, which boots one with this
machine's file system, copy on write. The processor is emulated (no KVM), so that it works everywhere and takes about a
minute a kernel. Prints a line per kernel; exits 0 when every kernel that could be had passed, 1 otherwise. What cannot
be had (QEMU, a kernel's package) is skipped with the reason.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".vm"
REQUIREMENTS = ROOT / "requirements" / "vm.txt"
KERNELS = {
    "6.1": r"linux-image-(6\.1\.0-(\d+)-amd64)",
    "6.12": r"linux-image-(6\.12\.(\d+)\+deb12-amd64)",
}
"""Package names by series; of several the one with the highest number is taken."""
BOOT_SECONDS = 300
RESULT = "PYROVER-RESULT "
# The kernel log goes to the same console, so the answer is one marked line.
COMMAND = f"ip link set lo up; echo; echo '{RESULT}'$(.venv/bin/pyrover-agent doctor --json | tr -d '\\n')"


class Skipped(Exception):  # noqa: N818 - a state, not an error
    """Something that is needed cannot be had; the message says what."""


@dataclass(frozen=True)
class Verdict:
    """What one kernel said."""

    passed: bool
    text: str


def newest_package(series: str) -> tuple[str, str]:
    """(package, kernel version) of a series."""
    pattern = re.compile(KERNELS[series])
    listed = subprocess.run(
        ["apt-cache", "pkgnames", f"linux-image-{series}"], capture_output=True, text=True, check=True
    )
    found = [match for name in listed.stdout.split() if (match := pattern.fullmatch(name))]
    if not found:
        raise Skipped("the package archive has no such kernel; is this Debian 12, and has 'apt-get update' run?")
    newest = max(found, key=lambda match: int(match[2]))
    return newest[0], newest[1]


def fetch_kernel(package: str, version: str) -> Path:
    """The folder with an unpacked kernel and its modules."""
    folder = CACHE / version
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, check=False).returncode:
        raise Skipped(f"'apt-get download {package}' failed")
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, folder], check=True)
    archive.unlink()
    subprocess.run(["depmod", "-b", folder, version], check=True)
    (folder / "ready").touch()
    return folder


def fetch_booter() -> Path:
    """The folder with virtme-ng's programs."""
    programs = CACHE / "venv" / "bin"
    stamp = CACHE / "venv" / "made-from"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", CACHE / "venv"], check=True)
        pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "--require-hashes", "-r", REQUIREMENTS], check=False).returncode:
            raise Skipped("virtme-ng could not be installed (the reason is above)")
        stamp.write_text(REQUIREMENTS.read_text())
    return programs


def boot(programs: Path, kernel: Path, version: str) -> dict[str, Any]:
    """What `pyrover-agent doctor --json` says under this kernel."""
    image = kernel / "boot" / f"vmlinuz-{version}"
    command = [programs / "vng", "--run", image, "--disable-kvm", "--cpus", "2", "--memory", "3G", "--verbose", "--"]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    try:
        done = subprocess.run(
            [*command, COMMAND], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=BOOT_SECONDS, check=False, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no answer within {BOOT_SECONDS} s") from None
    for line in done.stdout.splitlines():
        if line.startswith(RESULT):
            answer: dict[str, Any] = json.loads(line.removeprefix(RESULT))
            return answer
    raise AssertionError("the machine ended without an answer:\n" + "\n".join(done.stdout.splitlines()[-20:]))


def judge(answer: dict[str, Any]) -> Verdict:
    """A kernel passes when every hook is attached."""
    hooks = answer["hooks"]
    missing = [f"{hook['name']} ({hook['reasons']})" for hook in hooks if hook["source"] is None]
    text = f"{len(hooks) - len(missing)} of {len(hooks)} hooks attached"
    return Verdict(
        bool(answer["can_run"]) and not missing, text + "".join(f"\n    missing: {name}" for name in missing)
    )


def main() -> int:
    """Try every kernel."""
    if missing := [name for name in ("qemu-system-x86_64", "depmod", "apt-get") if shutil.which(name) is None]:
        print(f"skipped: {', '.join(missing)} not found; 'make vm-test' installs them on Debian")
        return 0
    failed = False
    for series in KERNELS:
        print(f"Linux {series}: ", end="", flush=True)
        try:
            package, version = newest_package(series)
            verdict = judge(boot(fetch_booter(), fetch_kernel(package, version), version))
            print(f"{'passed' if verdict.passed else 'FAILED'}, {version}, {verdict.text}", flush=True)
            failed |= not verdict.passed
        except Skipped as reason:
            print(f"skipped: {reason}", flush=True)
        except AssertionError as reason:
            print(f"FAILED: {reason}", flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
