"""What a machine does: the gate in each mode, then the tests in each mode, or a command instead.

Everything is told as messages, but for what the command prints.

Runs as root in the machine: `python -m scripts.vm.inside PLAN`, PLAN being a file made by `scripts.vm.plan`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.vm import gate
from scripts.vm.messages import Message, Outcome, Step, write
from scripts.vm.plan import Plan
from scripts.vm.reporter import DESCRIPTOR, FAILED

PROGRAMS = Path(sys.executable).parent
STUCK_SECONDS = 300
"""After this time in one test, pytest writes every thread's stack to the console."""
HOPELESS_SECONDS = 3600
"""After this time a test has failed."""
_RAN = (0, 1)  # pytest's exit codes when tests passed, and when some failed


def tell(message: Message) -> None:
    """To the one who booted this machine."""
    sys.stdout.write(write(message))
    sys.stdout.flush()


def pass_gate(mode: str) -> None:
    """Load and attach everything."""
    tell(Message(Step.BEGIN, mode, gate.NAME))
    begin = time.monotonic()
    command: list[str | Path] = [PROGRAMS / "pyrover-agent", "doctor", "--json", "--attach", mode]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        verdict = gate.judge(json.loads(done.stdout), mode)
    except json.JSONDecodeError:
        verdict = gate.Verdict(
            passed=False, text=f"doctor ended with {done.returncode} and said {done.stdout[-500:]!r}"
        )
    outcome = Outcome.PASSED if verdict.passed else Outcome.FAILED
    tell(Message(Step.END, mode, gate.NAME, outcome, time.monotonic() - begin, verdict.text))


def run_tests(mode: str, tests: tuple[str, ...]) -> None:
    """Run tests with every program attached in one mode, and those that failed a second time.

    An emulated processor that shares a busy one can miss any deadline; what fails twice is broken.
    """
    with tempfile.TemporaryDirectory() as folder:
        failed = Path(folder) / "failed"
        run_once(mode, tests, failed)
        if failed.exists() and (again := tuple(failed.read_text().splitlines())):
            run_once(mode, again, failed)


def run_once(mode: str, tests: tuple[str, ...], failed: Path) -> None:
    """Run tests; the ids of those that failed are in the file `failed`, a line each."""
    descriptor = os.dup(sys.stdout.fileno())
    command = [sys.executable, "-m", "pytest", "-p", "scripts.vm.reporter", "-p", "no:cacheprovider", "-m", "kernel"]
    command += ["-o", f"faulthandler_timeout={STUCK_SECONDS}", "--timeout", str(HOPELESS_SECONDS), "--tb=short", *tests]
    environment = {**os.environ, "PYROVER_ATTACH": mode, DESCRIPTOR: str(descriptor), FAILED: str(failed)}
    begin = time.monotonic()
    done = subprocess.run(command, stdout=sys.stderr, env=environment, pass_fds=(descriptor,), check=False)
    os.close(descriptor)
    if done.returncode not in _RAN:
        text = f"it ended with {done.returncode} and ran not every test; the console says more"
        tell(Message(Step.END, mode, "pytest", Outcome.FAILED, time.monotonic() - begin, text))


def run_command(command: tuple[str, ...]) -> None:
    """Run a module of this project; what it prints is for the one who asked."""
    begin = time.monotonic()
    # Its standard error output too: progress is the sign of life that the one outside waits for.
    done = subprocess.run([sys.executable, "-u", "-m", *command], stderr=subprocess.STDOUT, check=False)
    outcome = Outcome.FAILED if done.returncode else Outcome.PASSED
    tell(Message(Step.END, "", command[0], outcome, time.monotonic() - begin, f"it ended with {done.returncode}"))


def main() -> None:
    """Follow the plan."""
    plan = Plan.read(Path(sys.argv[1]))
    if plan.command:
        run_command(plan.command)
    for mode in plan.modes:
        pass_gate(mode)
    if plan.tests:
        for mode in plan.modes_of_tests:
            run_tests(mode, plan.tests)
    tell(Message(Step.DONE))


if __name__ == "__main__":
    main()
