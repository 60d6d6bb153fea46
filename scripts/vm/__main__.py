"""Run the kernel tests on stock Debian kernels, each booted in a virtual machine, for `make vm-test`.

    python -m scripts.vm [--kernels "6.1 6.12"] [--modes "fentry kprobe tracepoint auto"] [PYTEST ARGUMENTS ...]
    python -m scripts.vm --run "bench.stage_cost --rounds 1 --calls 2000" [--kernels 6.12]

docs/vm-tests.md says what runs and how. Prints a line for each kernel, mode and test as it ends, a summary, and what
is known about failures. Exits 1 when something failed, 0 otherwise; what cannot be had (QEMU, a kernel's package) is
skipped with the reason.
"""

import argparse
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scripts.vm import machine
from scripts.vm.kernels import CACHE, ROOT, SERIES, Kernel, fetch
from scripts.vm.messages import Message, Outcome, Step, read
from scripts.vm.plan import MODES, Plan, make_plan
from scripts.vm.results import Results
from scripts.vm.skipped import Skipped

NEEDED = ("qemu-system-x86_64", "depmod", "busybox")
COMPILED = CACHE / "numba"
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    # Compiled for any processor of this architecture, so that a machine finds what was compiled here.
    "NUMBA_CACHE_DIR": str(COMPILED),
    "NUMBA_CPU_NAME": "generic",
    # An emulated processor is many times slower.
    "PYROVER_PATIENCE_SECONDS": "300",
}

_printing = threading.Lock()


def say(text: str) -> None:
    """Print a whole line; machines run in parallel."""
    with _printing:
        print(text, flush=True)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    kernels: tuple[str, ...]
    modes: tuple[str, ...]
    """Empty: the usual."""
    tests: tuple[str, ...]
    """Arguments of pytest; empty: every test."""
    command: tuple[str, ...]
    """A module and its arguments; empty: tests."""


def parse_arguments(arguments: list[str]) -> Asked:
    """What is asked for; ends the program for names that there are not."""
    parser = argparse.ArgumentParser(prog="python -m scripts.vm", description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", default="", help=f"of {', '.join(SERIES)}")
    parser.add_argument("--modes", default="", help=f"of {', '.join(MODES)}")
    parser.add_argument("--run", default="", metavar="MODULE ARGUMENTS", help="run this instead of the tests")
    known, tests = parser.parse_known_args(arguments)
    kernels, modes = tuple(known.kernels.split()), tuple(known.modes.split())
    for what, names, allowed in (("kernel", kernels, SERIES), ("mode", modes, MODES)):
        if unknown := [name for name in names if name not in allowed]:
            parser.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(allowed)}")
    return Asked(kernels or tuple(SERIES), modes, tuple(tests), tuple(shlex.split(known.run)))


def compile_backend() -> None:
    """Compile the backend's functions here: in a machine that takes minutes."""
    command = [sys.executable, "-c", "from backend.ingest.warm import warm; warm()"]
    subprocess.run(["env", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), *command], cwd=ROOT, check=True)


def run_machine(programs: Path, kernel: Kernel, plan: Plan) -> Results:
    """Boot a kernel and let it follow the plan."""
    results = Results(kernel.series)
    file, console = CACHE / f"plan-{kernel.series}.json", CACHE / f"console-{kernel.series}.log"
    plan.write(file)
    begin = time.monotonic()
    say(f"{kernel.series:<5} booting {kernel.version}; its console goes to {console.relative_to(ROOT)}")
    reason = "it ended early"
    try:
        for text in machine.lines(programs, kernel, file.relative_to(ROOT), console, ENVIRONMENT):
            if message := read(text):
                if line := results.add(message):
                    say(line)
            elif plan.command:
                say(f"{kernel.series:<5} {text}")
    except machine.MachineError as error:
        reason = str(error)
    if not results.is_done:
        last = "\n".join(console.read_text(errors="replace").splitlines()[-30:])
        text = f"{reason}{f', during {results.current}' if results.current else ''}; its console ends with\n{last}"
        ended = Message(Step.END, "", "the machine", Outcome.FAILED, time.monotonic() - begin, text)
        say(results.add(ended) or "")
    say(f"{kernel.series:<5} ended after {(time.monotonic() - begin) / 60:.1f} min")
    return results


def plan_for(series: str, asked: Asked) -> Plan:
    """What the machine with this kernel is to do."""
    return Plan((), (), (), asked.command) if asked.command else make_plan(series, asked.modes, asked.tests)


def main() -> int:
    """Try every kernel."""
    asked = parse_arguments(sys.argv[1:])
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        print(f"vm-test skipped: {', '.join(missing)} not found; 'make vm-test' installs them on Debian")
        return 0
    kernels = []
    try:
        programs = machine.fetch_booter()
    except Skipped as reason:
        print(f"vm-test skipped: {reason}")
        return 0
    for name in asked.kernels:
        try:
            kernels.append(fetch(name))
        except Skipped as reason:
            print(f"{name:<5} skipped: {reason}")
    if not kernels:
        return 0
    compile_backend()
    # One machine for each processor here; each has two, and is rarely busy on both.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ThreadPoolExecutor(len(kernels)) as pool:
        try:
            results = list(
                pool.map(lambda kernel: run_machine(programs, kernel, plan_for(kernel.series, asked)), kernels)
            )
        except BaseException:  # Ctrl-C, or being ended
            machine.end_all()
            raise
    print("\n".join(line for result in results for line in result.failures()))
    print("\n".join(["", *(line for result in results for line in result.summary())]))
    failed = sum(len(result.failed) for result in results)
    print(f"vm-test: {f'{failed} FAILED' if failed else 'passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
