"""The agent stays small: what it must never import, and what importing it costs."""

import subprocess
import sys

import pytest

HEAVY = (
    *("asyncio", "bcc", "duckdb", "grpc", "h2corn", "llvmlite", "numba", "polars", "psutil", "pyarrow", "pyroute2"),
    *("rich", "ssl", "starlette"),
)
PROGRAM = """
import sys
import agent.cli
from agent.commands import run, record, replay, doctor
print(" ".join(sorted(name for name in sys.modules if name.partition(".")[0] in sys.argv[1:])))
with open("/proc/self/smaps_rollup") as file:
    print(next(line.split()[1] for line in file if line.startswith("Rss:")))
"""


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *HEAVY], capture_output=True, text=True, check=True, timeout=60
    )
    return result.stdout.splitlines()


def test_nothing_heavy_is_imported(loaded: list[str]) -> None:
    assert loaded[0] == ""


def test_all_commands_loaded_fit_into_sixty_megabytes(loaded: list[str]) -> None:
    assert int(loaded[1]) <= 60 * 1024
