"""Programs that the workloads are made of, found or a clear word why a test is skipped."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

GO_HOME = Path("/usr/local/go/bin/go")
SOURCES = Path(__file__).with_name("go")
GRPC_SOURCES = Path(__file__).with_name("go_grpc")


def tool(name: str) -> str:
    """The path of a program that `scripts/setup test` installs, where the distribution has it."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed (scripts/setup test says why)")
    return found


def node() -> str:
    """Node.js."""
    return tool("node")


def _go(version: tuple[int, int]) -> str:
    """Go, where it is of this version or a later one."""
    needed = "its workloads need {}.{} or later".format(*version)
    go = shutil.which("go") or (str(GO_HOME) if GO_HOME.exists() else None)
    if go is None:
        pytest.skip(f"Go is not installed; {needed}")
    said = subprocess.run([go, "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    if tuple(map(int, said.removeprefix("go").split(".")[:2])) < version:
        pytest.skip(f"Go is {said}; {needed}")
    return go


def build_go(target: Path, *, stripped: bool) -> Path:
    """The Go workload, built from the standard library alone, without asking any network."""
    options = ["-ldflags=-s -w", "-trimpath"] if stripped else []
    return _build(_go((1, 24)), SOURCES, target / ("exchange-stripped" if stripped else "exchange"), options)


def build_go_grpc(target: Path) -> Path:
    """The Go workload of gRPC, with the modules that its go.sum names: fetched once, and kept by Go."""
    go = _go((1, 26))
    fetched = subprocess.run(
        [go, "mod", "download"], cwd=GRPC_SOURCES, env=_environment(), capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        assert "SECURITY ERROR" not in fetched.stderr, fetched.stderr
        pytest.skip(f"Go cannot fetch what its workload of gRPC needs: {fetched.stderr[-300:]}")
    return _build(go, GRPC_SOURCES, target / "echo", [])


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", **more}


def _build(go: str, sources: Path, program: Path, options: Sequence[str]) -> Path:
    command: list[str | Path] = [go, "build", "-mod=readonly", "-o", program, *options, "."]
    built = subprocess.run(
        command, cwd=sources, env=_environment(GOPROXY="off"), capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return program
