"""Libraries and programs that tests build, and the tools that say about them what the agent should find."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FAKE_LIBRARY = Path(__file__).with_name("fake_library.c")
GO_SOURCES = Path(__file__).with_name("go_program")
LATE_GO_SOURCES = Path(__file__).with_name("go_late")


def tool(name: str, *places: str) -> str:
    """The path of a program, or a clear word why the test is skipped."""
    found = next((path for path in map(shutil.which, (name, *places)) if path), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compile_c(target: Path, source: Path, *options: str) -> Path:
    # Calls within the library must stay calls for a probe to see them.
    plain = ("-O1", "-fno-optimize-sibling-calls", "-fno-inline")
    subprocess.run([tool("gcc"), *plain, "-o", target, source, *options], check=True)
    return target


def build_go(
    target: Path, *options: str, machine: str = "", external: bool = False, sources: Path = GO_SOURCES
) -> Path:
    """A Go program of the standard library alone, built without asking any network."""
    go = tool("go", "/usr/local/go/bin/go")
    version = output(go, "env", "GOVERSION").strip()
    if tuple(map(int, version.removeprefix("go").split(".")[:2])) < (1, 21):
        pytest.skip(f"Go is {version}; the program needs 1.21 or later")
    settings = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "CGO_ENABLED": str(int(external))}
    if machine:
        settings["GOARCH"] = machine
    built = subprocess.run(
        [go, "build", "-o", target, *options, "."],
        cwd=sources,
        env={"HOME": str(Path.home()), **os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return target


def defined_functions(path: Path, table: str = "--dyn-syms") -> dict[str, set[int]]:
    """Functions that a file defines, as readelf lists them; of all its symbols with `--symbols`."""
    found: dict[str, set[int]] = {}
    for line in output(tool("readelf"), "-W", table, path).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] == "FUNC" and fields[6] != "UND":
            found.setdefault(fields[7].partition("@")[0], set()).add(int(fields[1], 16))
    return found


def return_instructions(path: Path) -> list[int]:
    """Addresses of every return instruction in a program, as a disassembler finds them."""
    text = output(tool("llvm-objdump", "objdump"), "-d", "--no-show-raw-insn", path)
    return [int(address, 16) for address in re.findall(r"^\s*([0-9a-f]+):\s+ret[ql]?\b", text, re.MULTILINE)]
