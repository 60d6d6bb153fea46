"""agent/kernel/subprograms.py: programs are linked with what they call, and the kernel verifies that once."""

import os
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel import bpf_programs
from agent.kernel.btf import Btf
from agent.kernel.loader import PROGRAMS_FOLDER, SOURCES
from agent.kernel.loader_options import Options
from agent.kernel.objects import ObjectFolder
from agent.kernel.source import KernelSource
from agent.kernel.subprograms import SUBPROGRAMS, defines, describe, link
from tests.agent.kernel.control_flow import loops_without_jump
from tests.agent.kernel.watching import ATTACH

VERIFIED = 300_000
"""Of a program at most, on the kernels that tests run on. Older verifiers look at more than newer ones."""


def instruction(code: int, registers: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, registers, 0, immediate)


def call(number: int) -> bytes:
    return instruction(0x85, 0, number)


NUMBERS = {name: int(defines()[f"SUBPROGRAM_{name}"], 16) for name in SUBPROGRAMS}
RETURN = instruction(0x95)
ADD = instruction(0x07, 0, 1)
"""To the result."""
OTHERS = st.one_of(
    st.just(ADD),
    st.just(RETURN),
    st.integers(1, 211).map(call),  # of the kernel
    st.just(instruction(0x85, 0x20, NUMBERS["walk_go"])),  # of a function of the kernel, by its type
    st.integers(0, 0xFFFF).map(lambda low: instruction(0x18, 0x11, low) + bytes(8)),
)


def test_each_has_a_number_that_no_function_of_the_kernel_has() -> None:
    assert len(set(NUMBERS.values())) == len(SUBPROGRAMS)
    assert all(1 << 30 < number < 1 << 31 for number in NUMBERS.values())


def test_each_is_a_function_of_the_sources_that_a_program_calls() -> None:
    text = "".join((PROGRAMS_FOLDER / name).read_text() for name in SOURCES)
    assert sorted(re.findall(r"^int (\w+)\(u64 \w+\)$", text, re.MULTILINE)) == sorted(SUBPROGRAMS)
    assert set(re.findall(r"SUBPROGRAM\((\w+)\)", text)) == {"name", *SUBPROGRAMS}


@given(
    st.lists(st.one_of(OTHERS, st.sampled_from(SUBPROGRAMS)), max_size=30),
    st.fixed_dictionaries({name: st.lists(OTHERS, min_size=1, max_size=5).map(b"".join) for name in SUBPROGRAMS}),
)
def test_what_is_called_stands_behind_the_program_once(parts: list[bytes | str], subprograms: dict[str, bytes]) -> None:
    program = b"".join(call(NUMBERS[part]) if isinstance(part, str) else part for part in parts)
    called = list(dict.fromkeys(part for part in parts if isinstance(part, str)))
    linked = link(program, subprograms)
    begins = {}
    at = len(program)
    for name in called:
        begins[name] = at // 8
        assert linked.instructions[at : at + len(subprograms[name])] == subprograms[name]
        at += len(subprograms[name])
    assert at == len(linked.instructions)
    assert [begin for begin, _ in linked.functions] == ([0, *begins.values()] if called else [])
    at = 0
    for part in parts:
        if isinstance(part, str):
            target = instruction(0x85, 0x10, begins[part] - at // 8 - 1)
            assert linked.instructions[at : at + 8] == target
            at += 8
        else:
            assert linked.instructions[at : at + len(part)] == part
            at += len(part)


def test_subprograms_may_call_each_other() -> None:
    first, second, _ = SUBPROGRAMS
    code = dict.fromkeys(SUBPROGRAMS, ADD + RETURN) | {first: call(NUMBERS[second]) + RETURN}
    linked = link(call(NUMBERS[first]) + RETURN, code)
    calls = [instruction(0x85, 0x10, 1), instruction(0x85, 0x10, 1)]
    assert linked.instructions == calls[0] + RETURN + calls[1] + RETURN + ADD + RETURN
    assert [begin for begin, _ in linked.functions] == [0, 2, 4]


def test_the_description_names_them() -> None:
    types = Btf(describe())
    described = types.functions(["program", *SUBPROGRAMS])
    assert described["program"].parameters == 0
    assert {described[name].parameters for name in SUBPROGRAMS} == {1}
    code = dict.fromkeys(SUBPROGRAMS, RETURN)
    linked = link(b"".join(map(call, NUMBERS.values())), code)
    assert [number for _, number in linked.functions] == [described[name].type_id for name in ("program", *SUBPROGRAMS)]


def load(program: bytes, subprogram: bytes) -> int:
    linked = link(program, dict.fromkeys(SUBPROGRAMS, subprogram))
    types = bpf_programs.load_types(describe())
    try:
        functions = bpf_programs.Functions(types, linked.functions)
        return bpf_programs.load_program(bpf_programs.TYPE_KPROBE, "linked", linked.instructions, functions=functions)
    finally:
        os.close(types)


MOVE = 0xB7
"""A number into a register."""


@pytest.mark.kernel
def test_the_kernel_looks_at_a_subprogram_once() -> None:
    subprogram = instruction(MOVE, 0, 0) + ADD * 50 + RETURN
    program = (instruction(MOVE, 1, 7) + call(NUMBERS["walk_go"])) * 100 + instruction(MOVE, 0, 0) + RETURN
    descriptor = load(program, subprogram)
    try:
        assert bpf_programs.program_information(descriptor).verified == (len(program) + len(subprogram)) / 8
    finally:
        os.close(descriptor)


@pytest.mark.kernel
def test_the_kernel_lets_a_subprogram_follow_no_argument() -> None:
    follow = struct.pack("=BBhi", 0x79, 0x10, 0, 0)  # the result is what the argument points to
    with pytest.raises(OSError, match="R1 invalid mem access"):
        load(instruction(MOVE, 1, 7) + call(NUMBERS["walk_tls"]) + RETURN, follow + RETURN)


@pytest.mark.kernel
def test_no_description_but_a_proper_one_is_loaded() -> None:
    with pytest.raises(OSError, match=r"Invalid argument"):
        bpf_programs.load_types(describe()[:-1])


def test_loops_are_found() -> None:
    stay, back = instruction(MOVE, 0, 0), struct.pack("=BBhi", 0x05, 0, -3, 0)  # a jump, over itself and two more
    assert loops_without_jump(stay * 2 + back) == []
    forward, under = struct.pack("=BBhi", 0x05, 0, 1, 0), struct.pack("=BBhi", 0x15, 0, -2, 0)
    assert loops_without_jump(forward + stay + under + RETURN) == [(1, 2)]
    assert loops_without_jump(stay + instruction(0x85, 0x10, -2) + RETURN) == [(1, 0)]  # a call of itself


@pytest.mark.kernel
def test_loops_are_such_that_old_kernels_take_them(tmp_path: Path) -> None:
    """How a loop is laid out is up to the compiler; which layouts are refused is not seen on a new kernel."""
    folder = tmp_path / "objects"
    with KernelSource.open(attach=ATTACH, only_processes=(), options=Options(objects=folder)) as source:
        names = {program.name for program in source.loaded.programs}
    (kept,) = folder.iterdir()
    compiled = ObjectFolder(folder).find(kept.stem)
    assert compiled is not None
    code = {name: function.bound_to(dict.fromkeys(compiled.maps, 0)) for name, function in compiled.functions.items()}
    assert names | set(SUBPROGRAMS) <= code.keys()
    assert {name: loops_without_jump(link(one, code).instructions) for name, one in code.items()} == {
        name: [] for name in code
    }


@pytest.mark.kernel
def test_programs_are_far_from_what_the_verifier_refuses() -> None:
    with KernelSource.open(attach=ATTACH, only_processes=()) as source:
        verified = {
            program.name: bpf_programs.program_information(descriptor).verified
            for program, descriptor in source.loaded.programs.items()
        }
    assert {name: count for name, count in verified.items() if count > VERIFIED} == {}
    assert max(verified, key=verified.__getitem__).startswith(("exit_", "leave_"))
