"""Which tests run in the machines, in which modes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from scripts.vm.kernels import ROOT

MODES: Final = ("fentry", "kprobe", "tracepoint", "auto")
TESTED: Final = {"6.1": ("kprobe",), "6.12": ("fentry",)}
"""The modes in which a kernel runs the tests unless others are asked for: each mode once, in half the time of both on
both. `make test` runs them with tracepoints, and auto is a mixture of the rest."""
FOLDERS: Final = ("tests/agent/kernel", "tests/vm")
"""Whole agents and backends (tests/e2e, tests/agent/commands) take most of an hour on an emulated processor."""
MARKER: Final = "pytest.mark.kernel"
NO_TESTS: Final = ("none",)
"""Asks for the gate alone."""


@dataclass(frozen=True)
class Plan:
    """What one machine is to do."""

    modes: tuple[str, ...]
    """In each of these every program is loaded and attached."""
    modes_of_tests: tuple[str, ...]
    """In each of these the tests run."""
    tests: tuple[str, ...]
    """Arguments of pytest."""
    command: tuple[str, ...] = ()
    """A module of this project and its arguments, to be run instead of all that."""

    def write(self, file: Path) -> None:
        """Keep it for the machine."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Inside the machine."""
        return cls(**{name: tuple(values) for name, values in json.loads(file.read_text()).items()})


def make_plan(series: str, modes: tuple[str, ...] = (), tests: tuple[str, ...] = ()) -> Plan:
    """A plan for one kernel, of what was asked for; empty: the usual."""
    return Plan(modes or MODES, modes or TESTED[series], () if tests == NO_TESTS else tests or kernel_tests())


def kernel_tests(root: Path = ROOT) -> tuple[str, ...]:
    """The files with tests that need the kernel.

    Found by their text: importing takes long in a machine, and here a file may skip itself for want of what only the
    machines have.
    """
    files = (file for folder in FOLDERS for file in sorted((root / folder).rglob("test_*.py")))
    return tuple(str(file.relative_to(root)) for file in files if MARKER in file.read_text())
