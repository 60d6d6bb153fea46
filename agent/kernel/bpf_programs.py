"""BPF programs: loaded, attached, counted.

The loader's child uses them as well: standard library only.
"""

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import Final

from agent.kernel import bpf_syscall

_PROGRAM_LOAD, _RAW_TRACEPOINT_OPEN, _BTF_LOAD, _LINK_CREATE, _ENABLE_STATISTICS = 5, 17, 18, 28, 32
_ATTACH_FENTRY, _ATTACH_FEXIT = 24, 25

ATTACH_PERF_EVENT, ATTACH_UPROBE_MULTI = 41, 48
"""Of `enum bpf_attach_type`; the second is since Linux 6.6, before it is ignored when a program is loaded."""

TYPE_KPROBE, TYPE_TRACEPOINT, TYPE_RAW_TRACEPOINT, TYPE_TRACING = 2, 5, 17, 26
"""Of `enum bpf_prog_type`."""

INSTRUCTION_BYTES: Final = 8
_RETURN_ZERO: Final = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)
_LOG_BYTES: Final = 1 << 20
_FUNCTION: Final = struct.Struct("=II")  # struct bpf_func_info

_PROGRAM_INFO_BYTES: Final = 220  # up to and with verified_insns (5.16)


@dataclass(frozen=True)
class ProgramInformation:
    """What the kernel counts for one program."""

    name: str
    run_ns: int
    """Time in the program; counted only while statistics are enabled."""
    runs: int
    """Same."""
    skipped: int
    """Runs refused because a program was already running on that CPU."""
    verified: int
    """Instructions that the verifier looked at; it refuses a program at a million. 0 before Linux 5.16."""


@dataclass(frozen=True)
class Functions:
    """What is said of a program that consists of several functions."""

    types: int
    """Descriptor of the types' description, see `load_types`."""
    begins: tuple[tuple[int, int], ...]
    """Of each function the number of its first instruction, and of its type."""


def program_information(descriptor: int) -> ProgramInformation:
    """What the kernel counts for the program behind `descriptor`.

    Raises:
        OSError: It is not a program.
    """
    raw = bpf_syscall.information(descriptor, _PROGRAM_INFO_BYTES)
    run_ns, runs, skipped, verified = struct.unpack_from("=QQQI", raw, 192)
    return ProgramInformation(bpf_syscall.text(raw[64:80]), run_ns, runs, skipped, verified)


def enable_statistics() -> int:
    """Make the kernel time every program as long as the returned descriptor is open.

    Raises:
        OSError: The kernel refused.
    """
    return bpf_syscall.call(_ENABLE_STATISTICS, bpf_syscall.attributes("=I", 0))


def load_types(description: bytes) -> int:
    """Load the description (BTF) of types that programs are made of; its descriptor.

    Raises:
        OSError: The kernel refused.
    """
    memory = ctypes.create_string_buffer(description, len(description))
    return bpf_syscall.call(
        _BTF_LOAD, bpf_syscall.attributes("=QQIII", ctypes.addressof(memory), 0, len(description), 0, 0)
    )


def load_program(
    kind: int,
    name: str,
    instructions: bytes,
    *,
    function_id: int = 0,
    at_return: bool = False,
    attach_type: int = 0,
    functions: Functions | None = None,
) -> int:
    """Load a program.

    Args:
        kind: Of `enum bpf_prog_type`.
        name: The kernel keeps its first 15 letters.
        instructions: Of the program, whose maps are named by descriptors.
        function_id: Of a tracing program (fentry, fexit): its function's type id in the kernel's BTF.
        at_return: Of a tracing program: whether it runs when the function returns.
        attach_type: Of any other program: how it will be attached, where the kernel wants to know.
        functions: Of a program that consists of several.

    Returns:
        A descriptor.

    Raises:
        OSError: The kernel refused; the message ends with what its verifier says.
    """
    attach = attach_type if kind != TYPE_TRACING else _ATTACH_FEXIT if at_return else _ATTACH_FENTRY
    try:
        return _load_program(kind, name, instructions, (function_id, attach, functions), None)
    except OSError as error:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return _load_program(kind, name, instructions, (function_id, attach, functions), log)
        except OSError:
            said = log.value.decode(errors="replace").strip()
            raise OSError(error.errno, f"{os.strerror(error.errno or 0)}\n{said}".strip()) from error


def _load_program(
    kind: int,
    name: str,
    instructions: bytes,
    more: tuple[int, int, Functions | None],
    log: "ctypes.Array[ctypes.c_char] | None",
) -> int:
    function_id, attach, functions = more
    program = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    begins = b"".join(_FUNCTION.pack(*one) for one in functions.begins) if functions else b""
    information = ctypes.create_string_buffer(begins, len(begins))
    attributes = struct.pack(
        "=IIQQIIQII16sIIIIQIIQII",
        kind,
        len(instructions) // INSTRUCTION_BYTES,
        ctypes.addressof(program),
        ctypes.addressof(licence),
        0 if log is None else 1,  # log: level, bytes, address
        0 if log is None else len(log),
        0 if log is None else ctypes.addressof(log),
        0,
        0,
        name.encode()[:15],
        0,
        attach,
        functions.types if functions else 0,
        _FUNCTION.size if functions else 0,
        ctypes.addressof(information) if functions else 0,
        len(functions.begins) if functions else 0,
        0,
        0,
        0,
        function_id,
    )
    return bpf_syscall.call(_PROGRAM_LOAD, ctypes.create_string_buffer(attributes, len(attributes)))


def attach_tracing(program: int) -> int:
    """Attach a tracing program; a descriptor, with which it is detached.

    Raises:
        OSError: The kernel refused.
    """
    return bpf_syscall.call(_RAW_TRACEPOINT_OPEN, bpf_syscall.attributes("=QIxxxx", 0, program))


def create_link(program: int, target: int, attach_type: int, more: bytes) -> int:
    """Attach a program; a descriptor, with which it is detached.

    Args:
        program: Its descriptor.
        target: Descriptor of what it is attached to, or 0.
        attach_type: Of `enum bpf_attach_type`.
        more: What belongs to the type, in `union bpf_attr`.

    Raises:
        OSError: The kernel refused.
    """
    attributes = struct.pack("=IIII", program, target, attach_type, 0) + more
    return bpf_syscall.call(_LINK_CREATE, ctypes.create_string_buffer(attributes, len(attributes)))


def try_fentry(function_id: int) -> None:
    """Attach an empty fentry program to one kernel function and take it off again.

    Args:
        function_id: The function's type id in the kernel's BTF.

    Raises:
        OSError: This kernel cannot do it; the error is the kernel's reason.
    """
    program = load_program(TYPE_TRACING, "pyrover_probe", _RETURN_ZERO, function_id=function_id)
    try:
        os.close(attach_tracing(program))
    finally:
        os.close(program)
