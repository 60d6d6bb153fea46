"""Which tests run in the machines, in which modes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from scripts.vm.kernels import ROOT

MODES: Final = ("fentry", "kprobe", "tracepoint", "auto")
GATE_ONLY: Final = ("tracepoint", "auto")
"""Unless they are asked for by name: `make test` runs the tests with tracepoints, and auto is a mixture of the rest."""
FOLDERS: Final = ("tests/agent", "tests/e2e", "tests/vm")
MARKER: Final = "pytest.mark.kernel"


@dataclass(frozen=True)
class Plan:
    """What one machine is to do."""

    modes: tuple[str, ...]
    """In each of these every program is loaded and attached."""
    modes_of_tests: tuple[str, ...]
    """In each of these the tests run."""
    tests: tuple[str, ...]
    """Arguments of pytest."""

    def write(self, file: Path) -> None:
        """Keep it for the machine."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Inside the machine."""
        return cls(**{name: tuple(values) for name, values in json.loads(file.read_text()).items()})


def make_plan(modes: tuple[str, ...] = (), tests: tuple[str, ...] = ()) -> Plan:
    """A plan for what was asked for; empty: everything."""
    full = modes or tuple(mode for mode in MODES if mode not in GATE_ONLY)
    return Plan(modes or MODES, full, tests or kernel_tests())


def kernel_tests(root: Path = ROOT) -> tuple[str, ...]:
    """The files with tests that need the kernel.

    Found by their text: importing takes long in a machine, and here a file may skip itself for want of what only the
    machines have.
    """
    files = (file for folder in FOLDERS for file in sorted((root / folder).rglob("test_*.py")))
    return tuple(str(file.relative_to(root)) for file in files if MARKER in file.read_text())
