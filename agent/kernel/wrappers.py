"""The programs around the handlers: each finds its handler's arguments where its way of attaching has them.

Where they are is the kernel's ABI with its programs:

* A system call's tracepoint hands over 8 bytes that nobody may read, the call's number, and its arguments or its result
  in 8 bytes each (`struct syscall_tp_t` in kernel/trace/trace_syscalls.c).
* A raw tracepoint hands over its arguments in 8 bytes each.
* A kprobe hands over the processor's registers; at a function's return only its result is left in them.
* A fentry program gets a function's arguments in 8 bytes each; at its return they are followed by the result.
* A uprobe hands over the processor's registers as well, of the program; the stack pointer is that at the function's
  entry, or one return address further at its return. Go passes arguments and results in registers of its own choice,
  and keeps the goroutine in another (the Go sources' src/cmd/compile/abi-internal.md).
* A function that serves a system call has one argument: the registers with which user space called the kernel
  (`struct pt_regs`), which hold the call's arguments in the order of the machine's system call ABI.
"""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from agent.kernel.hook import (
    CALL_MARK,
    COOKIE,
    FUNCTION_KINDS,
    GOROUTINE,
    RESULT,
    STACK,
    Argument,
    Attachment,
    Convention,
    SourceKind,
)

_CALL_REGISTERS: Final = {
    "x86_64": ("di", "si", "dx", "r10", "r8", "r9"),
    "aarch64": tuple(f"regs[{number}]" for number in range(6)),
}
_GO_REGISTERS: Final = {
    "x86_64": ("ax", "bx", "cx", "di", "si", "r8", "r9", "r10", "r11"),
    "aarch64": tuple(f"regs[{number}]" for number in range(16)),
}
_GOROUTINE_REGISTER: Final = {"x86_64": "r14", "aarch64": "regs[28]"}
_RETURN_ADDRESS_BYTES: Final = {"x86_64": 8, "aarch64": 0}
"""Of a return address on the stack."""

_MOST_REGISTERS: Final = 6
_MOST_ARGUMENTS: Final = 12
"""Of a raw tracepoint, or of a function with a fentry program."""

_PREAMBLE: Final = """\
struct call_entry {
    u64 hidden;
    long number;
    unsigned long arguments[6];
};

struct call_exit {
    u64 hidden;
    long number;
    long result;
};

static __always_inline u64 call_argument(u64 registers, u64 offset)
{
    u64 value = 0;

    bpf_probe_read_kernel(&value, sizeof(value), (void *)(registers + offset));
    return value;
}
"""

_CONTEXT: Final = {
    SourceKind.FENTRY: "u64 *",
    SourceKind.KPROBE: "struct pt_regs *",
    SourceKind.RAW_TRACEPOINT: "struct bpf_raw_tracepoint_args *",
    SourceKind.UPROBE: "struct pt_regs *",
}


@dataclass(frozen=True)
class Program:
    """One program, to be loaded once and attached to one or more places.

    Programs that differ in nothing but their places share a C function, so that it is compiled once.
    """

    name: str
    """Of the C function."""
    kind: SourceKind
    at_return: bool
    attachments: tuple[Attachment, ...]
    text: str
    """The C function."""
    seen_twice: bool
    """Whether another program at the same place sees what this one misses."""


class _Shape(NamedTuple):
    """What the text of a C function depends on."""

    kind: SourceKind
    handler: str
    arguments: tuple[Argument, ...]
    at_return: bool
    is_call: bool
    """Whether the arguments are those of a system call, which its function has elsewhere."""
    parameters: int
    """Of a function, behind which a fentry program finds its result."""
    convention: Convention

    @classmethod
    def of(cls, kind: SourceKind, attachment: Attachment, parameters: Mapping[str, int]) -> Self:
        behind = kind is SourceKind.FENTRY and attachment.at_return
        return cls(
            kind,
            attachment.handler,
            attachment.arguments,
            attachment.at_return,
            attachment.to.startswith(CALL_MARK),
            parameters[attachment.function] if behind else 0,
            attachment.convention,
        )


class _Load(NamedTuple):
    """What tells programs apart that share a C function."""

    shape: _Shape
    again: bool
    function: str
    """A fentry program is loaded for one function."""


def render_programs(
    attachments: Iterable[tuple[SourceKind, Attachment]], parameters: Mapping[str, int]
) -> tuple[Program, ...]:
    """A program for each handler and way of attaching it; one serves several places where it can.

    Args:
        attachments: What is to be attached; the same thing twice is attached once.
        parameters: How many parameters each function has that a fentry program is attached to.

    Raises:
        ValueError: A handler wants an argument that is not to be had there.
    """
    groups: dict[_Load, list[Attachment]] = {}
    functions: dict[_Shape, tuple[str, str]] = {}
    doubled = set()
    for kind, attachment in dict.fromkeys(attachments):
        shape = _Shape.of(kind, attachment, parameters)
        function = attachment.function if kind is SourceKind.FENTRY else ""
        groups.setdefault(_Load(shape, attachment.again, function), []).append(attachment)
        if shape not in functions:
            name = _name(shape, {name for name, _ in functions.values()})
            functions[shape] = name, _render(name, shape, attachment)
        if attachment.again:
            doubled.add((attachment.handler, attachment.to))
    programs = []
    for load, group in groups.items():
        name, text = functions[load.shape]
        seen_twice = any((attachment.handler, attachment.to) in doubled for attachment in group)
        programs.append(Program(name, load.shape.kind, load.shape.at_return, tuple(group), text, seen_twice))
    return tuple(programs)


def render_text(programs: Iterable[Program]) -> str:
    """The C text of all programs, to be compiled after the handlers."""
    return _PREAMBLE + "".join(f"\n{text}" for text in dict.fromkeys(program.text for program in programs))


def _name(shape: _Shape, taken: set[str]) -> str:
    """A name for the C function; the kernel shows its first 15 letters, so the handler's name comes first."""
    name = f"{shape.handler}__{shape.kind.value}"
    candidates = [name, *(f"{name}__{number}" for number in range(2, len(taken) + 2))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _render(name: str, shape: _Shape, attachment: Attachment) -> str:
    context = _CONTEXT.get(shape.kind) or _call_context(attachment)
    values = ", ".join(f"({argument.c_type})({_value(shape, attachment, argument)})" for argument in shape.arguments)
    # The kernel gives meaning to what some programs return; 0 is the one value that means nothing.
    return f"int {name}({context}ctx)\n{{\n    {shape.handler}({values});\n    return 0;\n}}\n"


def _call_context(attachment: Attachment) -> str:
    if not attachment.to.startswith("syscalls:sys_"):
        raise ValueError(f"{attachment.to}: where this tracepoint has its fields is not known here")
    return "struct call_exit *" if attachment.to.startswith("syscalls:sys_exit_") else "struct call_entry *"


def _value(shape: _Shape, attachment: Attachment, argument: Argument) -> str:
    """The C expression of one argument, as a number."""
    kind, position = shape.kind, argument.position
    value = None
    if kind is SourceKind.UPROBE:
        value = _value_of_program(shape, position)
    elif position == RESULT:
        value = _result(shape, attachment)
    elif position < 0:
        value = None  # only programs of user space have it
    elif kind in FUNCTION_KINDS and shape.is_call:
        value = _argument_of_call(shape, position)
    elif kind in FUNCTION_KINDS:
        value = _argument_of_function(shape, position)
    elif kind is SourceKind.RAW_TRACEPOINT and position < _MOST_ARGUMENTS:
        value = f"ctx->args[{position}]"
    elif kind is SourceKind.TRACEPOINT and position < _MOST_REGISTERS and ":sys_enter_" in attachment.to:
        value = f"ctx->arguments[{position}]"
    if value is None:
        what = {RESULT: "what it returns", STACK: "the stack", GOROUTINE: "the goroutine", COOKIE: "the cookie"}.get(
            position, f"argument {position}"
        )
        raise ValueError(f"{shape.handler} at {attachment.to} by {kind.value}: {what} is not to be had there")
    return value


def _result(shape: _Shape, attachment: Attachment) -> str | None:
    if shape.kind is SourceKind.FENTRY and shape.at_return:
        return f"ctx[{shape.parameters}]"
    if shape.kind is SourceKind.KPROBE and shape.at_return:
        return "PT_REGS_RC(ctx)"
    if shape.kind is SourceKind.TRACEPOINT and ":sys_exit_" in attachment.to:
        return "ctx->result"
    return None


def _value_of_program(shape: _Shape, position: int) -> str | None:
    """Of a function of a program; C functions are left through the kernel, Go's at each of their returns."""
    machine = platform.machine()
    if position == COOKIE:
        return "bpf_get_attach_cookie(ctx)"
    if shape.convention is Convention.GO:
        register = _go_register(shape, position)
        return register and f"ctx->{register}"
    if position == RESULT and shape.at_return:
        return "PT_REGS_RC(ctx)"
    if position == STACK:
        passed = _RETURN_ADDRESS_BYTES[machine] if shape.at_return else 0
        return f"PT_REGS_SP(ctx) - {passed}" if passed else "PT_REGS_SP(ctx)"
    if 0 <= position < _MOST_REGISTERS and not shape.at_return:
        return f"PT_REGS_PARM{position + 1}(ctx)"
    return None


def _go_register(shape: _Shape, position: int) -> str | None:
    registers = _GO_REGISTERS[platform.machine()]
    if position == GOROUTINE:
        return _GOROUTINE_REGISTER[platform.machine()]
    if position == RESULT and shape.at_return:
        return registers[0]
    return registers[position] if 0 <= position < len(registers) and not shape.at_return else None


def _argument_of_call(shape: _Shape, position: int) -> str | None:
    registers = _argument_of_function(shape, 0)
    if registers is None or position >= _MOST_REGISTERS:
        return None
    register = _CALL_REGISTERS[platform.machine()][position]
    return f"call_argument({registers}, __builtin_offsetof(struct pt_regs, {register}))"


def _argument_of_function(shape: _Shape, position: int) -> str | None:
    if shape.kind is SourceKind.FENTRY and position < _MOST_ARGUMENTS:
        return f"ctx[{position}]"
    if shape.kind is SourceKind.KPROBE and not shape.at_return and position < _MOST_REGISTERS:
        return f"PT_REGS_PARM{position + 1}(ctx)"
    return None
