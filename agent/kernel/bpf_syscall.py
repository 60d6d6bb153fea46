"""The few commands of bpf(2) that the agent needs after the loader has gone.

Source: the kernel's include/uapi/linux/bpf.h; `union bpf_attr` differs per command and may be given shorter than it is.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBER: Final = {"x86_64": 321, "aarch64": 280}

_MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _PROGRAM_LOAD, _INFO, _RAW_TRACEPOINT_OPEN = 1, 2, 3, 5, 15, 17
_BTF_LOAD: Final = 18
_ENABLE_STATISTICS: Final = 32
_MAP_CREATE: Final = 0
_MAP_NEXT_KEY: Final = 4
_LINK_CREATE: Final = 28
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
_MAP_INFO_BYTES: Final = 40  # up to and with the name
_PER_CPU_STRIDE: Final = 8  # values of a per-CPU map are rounded up to 8 bytes

_libc = ctypes.CDLL(None, use_errno=True)


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


@dataclass(frozen=True)
class MapInformation:
    """Shape of one map."""

    name: str
    key_bytes: int
    value_bytes: int
    entries: int
    kind: int
    """Of `enum bpf_map_type`."""
    flags: int


def _bpf(command: int, attributes: "ctypes.Array[ctypes.c_char]") -> int:
    machine = platform.machine()
    if machine not in _NUMBER:
        raise OSError(errno.ENOSYS, f"the number of bpf(2) on {machine} is not known here")
    result: int = _libc.syscall(
        ctypes.c_long(_NUMBER[machine]), ctypes.c_long(command), attributes, ctypes.c_long(len(attributes))
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _attributes(layout: str, *values: int) -> "ctypes.Array[ctypes.c_char]":
    packed = struct.pack(layout, *values)
    return ctypes.create_string_buffer(packed, len(packed))


def possible_cpus() -> int:
    """How many values a per-CPU map has per key.

    Raises:
        OSError: /sys is not mounted.
    """
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    return 1 + max(int(part.rpartition("-")[2]) for part in ranges)


def lookup(descriptor: int, key: bytes, value_bytes: int) -> bytes | None:
    """The value under `key`, or None.

    Raises:
        OSError: The kernel refused.
    """
    key_memory = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_bytes)
    try:
        _bpf(
            _MAP_LOOKUP,
            _attributes("=IxxxxQQQ", descriptor, ctypes.addressof(key_memory), ctypes.addressof(value), 0),
        )
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw


def lookup_sum(descriptor: int, key: int, cpus: int) -> int:
    """The sum over CPUs of a per-CPU array's u64 under index `key`.

    Raises:
        OSError: The kernel refused; there is no such index.
    """
    raw = lookup(descriptor, struct.pack("=I", key), cpus * _PER_CPU_STRIDE)
    if raw is None:
        raise OSError(errno.ENOENT, f"no counter {key}")
    return sum(struct.unpack(f"={cpus}Q", raw))


def update(descriptor: int, key: bytes, value: bytes) -> None:
    """Set the value under `key`.

    Raises:
        OSError: The kernel refused; E2BIG when the map is full.
    """
    key_memory = ctypes.create_string_buffer(key, len(key))
    value_memory = ctypes.create_string_buffer(value, len(value))
    _bpf(
        _MAP_UPDATE,
        _attributes("=IxxxxQQQ", descriptor, ctypes.addressof(key_memory), ctypes.addressof(value_memory), 0),
    )


def delete(descriptor: int, key: bytes) -> None:
    """Remove `key`; nothing happens when it is not there.

    Raises:
        OSError: The kernel refused.
    """
    key_memory = ctypes.create_string_buffer(key, len(key))
    try:
        _bpf(_MAP_DELETE, _attributes("=IxxxxQ", descriptor, ctypes.addressof(key_memory)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def keys(descriptor: int) -> Iterator[bytes]:
    """The keys of a map. Where keys come and go meanwhile, one may come twice, and a new one not at all.

    Raises:
        OSError: The kernel refused.
    """
    shape = map_information(descriptor)
    key = None
    following = ctypes.create_string_buffer(shape.key_bytes)
    # After a key that is gone the kernel begins again from the first.
    for _ in range(2 * shape.entries):
        address = ctypes.addressof(key) if key else 0
        try:
            _bpf(_MAP_NEXT_KEY, _attributes("=IxxxxQQ", descriptor, address, ctypes.addressof(following)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield following.raw
        key = ctypes.create_string_buffer(following.raw, shape.key_bytes)


def _information(descriptor: int, size: int) -> bytes:
    memory = ctypes.create_string_buffer(size)
    _bpf(_INFO, _attributes("=IIQ", descriptor, size, ctypes.addressof(memory)))
    return memory.raw


def program_information(descriptor: int) -> ProgramInformation:
    """What the kernel counts for the program behind `descriptor`.

    Raises:
        OSError: It is not a program.
    """
    raw = _information(descriptor, _PROGRAM_INFO_BYTES)
    run_ns, runs, skipped, verified = struct.unpack_from("=QQQI", raw, 192)
    return ProgramInformation(_text(raw[64:80]), run_ns, runs, skipped, verified)


def map_information(descriptor: int) -> MapInformation:
    """The shape of the map behind `descriptor`.

    Raises:
        OSError: It is not a map.
    """
    raw = _information(descriptor, _MAP_INFO_BYTES)
    kind, _, key_bytes, value_bytes, entries, flags = struct.unpack_from("=IIIIII", raw)
    return MapInformation(_text(raw[24:40]), key_bytes, value_bytes, entries, kind, flags)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")


def enable_statistics() -> int:
    """Make the kernel time every program as long as the returned descriptor is open.

    Raises:
        OSError: The kernel refused.
    """
    return _bpf(_ENABLE_STATISTICS, _attributes("=I", 0))


def create_map(shape: MapInformation) -> int:
    """Make a map; its descriptor.

    Raises:
        OSError: The kernel refused.
    """
    attributes = struct.pack(
        "=IIIIIII16s",
        shape.kind,
        shape.key_bytes,
        shape.value_bytes,
        shape.entries,
        shape.flags,
        0,
        0,
        shape.name.encode()[:15],
    )
    return _bpf(_MAP_CREATE, ctypes.create_string_buffer(attributes, len(attributes)))


def load_types(description: bytes) -> int:
    """Load the description (BTF) of types that programs are made of; its descriptor.

    Raises:
        OSError: The kernel refused.
    """
    memory = ctypes.create_string_buffer(description, len(description))
    return _bpf(_BTF_LOAD, _attributes("=QQIII", ctypes.addressof(memory), 0, len(description), 0, 0))


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
    return _bpf(_PROGRAM_LOAD, ctypes.create_string_buffer(attributes, len(attributes)))


def attach_tracing(program: int) -> int:
    """Attach a tracing program; a descriptor, with which it is detached.

    Raises:
        OSError: The kernel refused.
    """
    return _bpf(_RAW_TRACEPOINT_OPEN, _attributes("=QIxxxx", 0, program))


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
    return _bpf(_LINK_CREATE, ctypes.create_string_buffer(attributes, len(attributes)))


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
