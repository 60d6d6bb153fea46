"""Programs that the workloads are made of, found or a clear word why a test is skipped."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

GO_HOME = Path("/usr/local/go/bin/go")
SOURCES = Path(__file__).with_name("go")


def tool(name: str) -> str:
    """The path of a program that `scripts/setup test` installs, where the distribution has it."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed (scripts/setup test says why)")
    return found


def node() -> str:
    """Node.js."""
    return tool("node")


def build_go(target: Path, *, stripped: bool) -> Path:
    """The Go workload, built from the standard library alone, without asking any network."""
    go = shutil.which("go") or (str(GO_HOME) if GO_HOME.exists() else None)
    if go is None:
        pytest.skip("Go is not installed; its workloads need 1.24 or later")
    version = subprocess.run([go, "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    if tuple(map(int, version.removeprefix("go").split(".")[:2])) < (1, 24):
        pytest.skip(f"Go is {version}; its workloads need 1.24 or later")
    program = target / ("exchange-stripped" if stripped else "exchange")
    settings = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0"}
    command = [go, "build", "-o", program, *(["-ldflags=-s -w", "-trimpath"] if stripped else []), "."]
    built = subprocess.run(
        command, cwd=SOURCES, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return program
