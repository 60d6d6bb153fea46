"""What differs between x86_64 and arm64, tried on either: numbers of system calls, registers, all programs compiled."""

import base64
import json
import platform
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.events.layout import c_layout_assertions
from agent.kernel import bpf_syscall, headers, tracefs, uprobes
from agent.kernel.btf import VMLINUX
from agent.kernel.hooks import HOOKS
from agent.kernel.loader import PROGRAMS_FOLDER, SOURCES, LoaderError, find_interpreter
from agent.kernel.loader_options import Options
from agent.kernel.subprograms import SUBPROGRAMS
from agent.kernel.wrappers import render_programs, render_text
from tests.e2e.programs import ROOT

UAPI = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),  # arm64 has the numbers that new machines share
}
"""Numbers of system calls as the kernel publishes them."""

PASSED = {
    "x86_64": (112, 104, 96, 88, 72, 64),  # di, si, dx, cx, r8, r9
    "aarch64": (0, 8, 16, 24, 32, 40),  # x0 to x5
}
"""Bytes in struct pt_regs of the registers that pass arguments (psABI; arch/*/include/uapi/asm/ptrace.h)."""
RESULT = {"x86_64": 80, "aarch64": 0}
STACK = {"x86_64": 152, "aarch64": 31 * 8}
CALLED_WITH = {**PASSED, "x86_64": (112, 104, 96, 56, 72, 64)}
"""Those of a system call; x86_64 has r10 instead of cx, which the instruction overwrites."""

LOAD = 0x79
"""An instruction that loads 8 bytes from an address and an offset (BPF_LDX | BPF_MEM | BPF_DW)."""


def published(machine: str) -> Mapping[str, int]:
    path = UAPI[machine]
    if not path.exists():
        pytest.skip(f"needs {path}: apt-get install linux-libc-dev")
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)\b", path.read_text())}


@pytest.mark.parametrize("machine", headers.MACHINES)
def test_system_calls_have_the_numbers_of_the_kernel(machine: str) -> None:
    numbers = published(machine)
    assert bpf_syscall._NUMBER[machine] == numbers["bpf"]
    assert uprobes._PERF_EVENT_OPEN[machine] == numbers["perf_event_open"]
    for ours, name in (("_SYS_FSOPEN", "fsopen"), ("_SYS_FSCONFIG", "fsconfig"), ("_SYS_FSMOUNT", "fsmount")):
        assert getattr(tracefs, ours) == numbers[name]


def compiled(machine: str, request: dict[str, Any], functions: list[str]) -> dict[str, bytes]:
    """The instructions of each function."""
    if not VMLINUX.exists():
        pytest.skip("this kernel does not describe itself")
    try:
        interpreter = find_interpreter()
    except LoaderError as error:
        pytest.skip(str(error))
    task = {"machine": machine, "request": request, "functions": functions}
    program = Path(__file__).with_name("compiling.py")
    done = subprocess.run(
        [interpreter, "-I", program], input=json.dumps(task), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    assert "error" not in answer, answer["error"]
    return {name: base64.b64decode(code) for name, code in answer.items()}


def loaded_offsets(code: bytes) -> Iterator[int]:
    """Where a function loads from."""
    for operation, _, offset, _ in struct.iter_unpack("=BBhi", code):
        if operation == LOAD:
            yield offset


@pytest.mark.parametrize("machine", headers.MACHINES)
def test_registers_are_read_where_the_kernel_saves_them(machine: str) -> None:
    wanted = {
        **{f"argument{number}": f"PT_REGS_PARM{number + 1}(ctx)" for number in range(6)},
        "result": "PT_REGS_RC(ctx)",
        "stack": "PT_REGS_SP(ctx)",
    }
    text = "".join(f"int {name}(struct pt_regs *ctx) {{ return {value} == 7; }}\n" for name, value in wanted.items())
    request = {"btf": str(VMLINUX), "defines": {}, "sources": [["registers", text]]}
    places = {name: list(loaded_offsets(code)) for name, code in compiled(machine, request, list(wanted)).items()}
    assert places == {
        **{f"argument{number}": [place] for number, place in enumerate(PASSED[machine])},
        "result": [RESULT[machine]],
        "stack": [STACK[machine]],
    }


@pytest.mark.parametrize("machine", headers.MACHINES)
def test_every_program_compiles(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By each way of attaching it: what an arm64 machine compiles at its first start, but for the places in structs."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    chosen = [
        (source.kind, attachment) for hook in HOOKS for source in hook.sources for attachment in source.attachments
    ]
    programs = render_programs(chosen, {attachment.function: 4 for _, attachment in chosen})
    request = {
        "btf": str(VMLINUX),
        "defines": Options().defines() | {f"HOOK_{hook.name}": "1" for hook in HOOKS},
        "sources": [
            *([f"bpf/{name}", (PROGRAMS_FOLDER / name).read_text()] for name in SOURCES),
            ["programs", render_text(programs)],
            ["layout of struct event", c_layout_assertions()],
        ],
    }
    names = sorted({program.name for program in programs} | set(SUBPROGRAMS))
    code = compiled(machine, request, names)
    assert sorted(code) == names
    assert all(code.values())
    # read(2) by its function: the kernel's pointer to the caller's registers, and the descriptor in the first of them.
    (entered,) = {
        program.name
        for program in programs
        for item in program.attachments
        if program.kind.value == "kprobe" and item.to == "*_sys_read" and not item.at_return
    }
    assert next(loaded_offsets(code[entered])) == PASSED[machine][0]
    assert CALLED_WITH[machine][0] in constants(code[entered])


def constants(code: bytes) -> set[int]:
    """Numbers that a function adds or loads."""
    return {number for operation, _, _, number in struct.iter_unpack("=BBhi", code) if operation in {0x07, 0xB7}}
