"""agent/kernel/wrappers.py: where each way of attaching has a handler's arguments, and what is compiled once."""

import platform
from collections.abc import Sequence

import pytest

from agent.kernel.hook import COOKIE, GOROUTINE, RESULT, STACK, Argument, Attachment, Convention, SourceKind
from agent.kernel.hooks import HOOKS
from agent.kernel.wrappers import Program, render_programs, render_text

FENTRY, KPROBE = SourceKind.FENTRY, SourceKind.KPROBE
TRACEPOINT, RAW_TRACEPOINT = SourceKind.TRACEPOINT, SourceKind.RAW_TRACEPOINT
UPROBE = SourceKind.UPROBE

SOCKET, SIZE, CODE = Argument("struct sock *", 0), Argument("u32", 2), Argument("long", RESULT)
SEND = Attachment("enter_send", "tcp_sendmsg", (SOCKET, SIZE))
SENT = Attachment("leave_send", "tcp_sendmsg", (CODE,), at_return=True)
READ = Attachment("enter_read", "*_sys_read", (Argument("int", 0), Argument("u32", 3)))


STACK_POINTER, ROUTINE, TOLD = Argument("u64", STACK), Argument("u64", GOROUTINE), Argument("u64", COOKIE)
CALL = Attachment("enter_tls", "SSL_read", (SIZE, TOLD, STACK_POINTER), cookie=4)
LEFT = Attachment("leave_tls", "SSL_read", (CODE, STACK_POINTER), at_return=True)
GO_CALL = Attachment("enter_go", "Read", (SOCKET, SIZE, ROUTINE, TOLD), convention=Convention.GO)
GO_LEFT = Attachment("leave_go", "Read", (CODE, ROUTINE), convention=Convention.GO, at_return=True)


def one(kind: SourceKind, attachment: Attachment) -> Program:
    (program,) = render_programs([(kind, attachment)], {"tcp_sendmsg": 3})
    return program


@pytest.mark.parametrize(
    ("kind", "attachment", "context", "call"),
    [
        (FENTRY, SEND, "u64 *", "enter_send((struct sock *)(ctx[0]), (u32)(ctx[2]))"),
        (FENTRY, SENT, "u64 *", "leave_send((long)(ctx[3]))"),
        (
            KPROBE,
            SEND,
            "struct pt_regs *",
            "enter_send((struct sock *)(PT_REGS_PARM1(ctx)), (u32)(PT_REGS_PARM3(ctx)))",
        ),
        (KPROBE, SENT, "struct pt_regs *", "leave_send((long)(PT_REGS_RC(ctx)))"),
        (
            RAW_TRACEPOINT,
            Attachment("drop", "kfree_skb", (SIZE, SOCKET)),
            "struct bpf_raw_tracepoint_args *",
            "drop((u32)(ctx->args[2]), (struct sock *)(ctx->args[0]))",
        ),
        (
            TRACEPOINT,
            Attachment("enter_read", "syscalls:sys_enter_read", (SIZE,)),
            "struct call_entry *",
            "enter_read((u32)(ctx->arguments[2]))",
        ),
        (
            TRACEPOINT,
            Attachment("exit_read", "syscalls:sys_exit_read", (CODE,)),
            "struct call_exit *",
            "exit_read((long)(ctx->result))",
        ),
    ],
)
def test_arguments_are_taken_from_where_they_are(
    kind: SourceKind, attachment: Attachment, context: str, call: str
) -> None:
    program = one(kind, attachment)
    assert program.text == f"int {program.name}({context}ctx)\n{{\n    {call};\n    return 0;\n}}\n"


@pytest.mark.parametrize(
    ("machine", "first", "fourth", "function"),
    [("x86_64", "di", "r10", "__x64_sys_read"), ("aarch64", "regs[0]", "regs[3]", "__arm64_sys_read")],
)
def test_the_function_of_a_system_call_has_its_arguments_in_saved_registers(
    monkeypatch: pytest.MonkeyPatch, machine: str, first: str, fourth: str, function: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert READ.function == function
    for kind, pointer in ((FENTRY, "ctx[0]"), (KPROBE, "PT_REGS_PARM1(ctx)")):
        (program,) = render_programs([(kind, READ)], {function: 1})
        for register in (first, fourth):
            assert f"call_argument({pointer}, __builtin_offsetof(struct pt_regs, {register}))" in program.text


@pytest.mark.parametrize(
    ("machine", "attachment", "call"),
    [
        (
            "x86_64",
            CALL,
            "enter_tls((u32)(PT_REGS_PARM3(ctx)), (u64)(bpf_get_attach_cookie(ctx)), (u64)(PT_REGS_SP(ctx)))",
        ),
        ("x86_64", LEFT, "leave_tls((long)(PT_REGS_RC(ctx)), (u64)(PT_REGS_SP(ctx) - 8))"),
        ("aarch64", LEFT, "leave_tls((long)(PT_REGS_RC(ctx)), (u64)(PT_REGS_SP(ctx)))"),
        (
            "x86_64",
            GO_CALL,
            "enter_go((struct sock *)(ctx->ax), (u32)(ctx->cx), (u64)(ctx->r14), (u64)(bpf_get_attach_cookie(ctx)))",
        ),
        ("x86_64", GO_LEFT, "leave_go((long)(ctx->ax), (u64)(ctx->r14))"),
        ("aarch64", GO_LEFT, "leave_go((long)(ctx->regs[0]), (u64)(ctx->regs[28]))"),
    ],
)
def test_functions_of_programs_have_theirs_in_registers(
    monkeypatch: pytest.MonkeyPatch, machine: str, attachment: Attachment, call: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = one(UPROBE, attachment)
    assert program.text == f"int {program.name}(struct pt_regs *ctx)\n{{\n    {call};\n    return 0;\n}}\n"


def test_functions_of_programs_share_a_program_whatever_it_is_told() -> None:
    other = Attachment("enter_tls", "SSL_write", CALL.arguments, cookie=5)
    (program,) = render_programs([(UPROBE, CALL), (UPROBE, other)], {})
    assert program.attachments == (CALL, other)


@pytest.mark.parametrize(
    ("kind", "attachment"),
    [
        (UPROBE, Attachment("h", "f", (SOCKET,), at_return=True)),
        (UPROBE, Attachment("h", "f", (CODE,))),
        (UPROBE, Attachment("h", "f", (ROUTINE,))),
        (UPROBE, Attachment("h", "f", (STACK_POINTER,), convention=Convention.GO)),
        (UPROBE, Attachment("h", "f", (CODE,), convention=Convention.GO)),
        (UPROBE, Attachment("h", "f", (SOCKET,), convention=Convention.GO, at_return=True)),
        (KPROBE, Attachment("h", "f", (STACK_POINTER,))),
        (FENTRY, Attachment("h", "f", (CODE,))),
        (FENTRY, Attachment("h", "f", (Argument("int", 12),))),
        (KPROBE, Attachment("h", "f", (SOCKET,), at_return=True)),
        (KPROBE, Attachment("h", "f", (CODE,))),
        (KPROBE, Attachment("h", "f", (Argument("int", 6),))),
        (KPROBE, Attachment("h", "*_sys_read", (Argument("int", 6),))),
        (KPROBE, Attachment("h", "*_sys_read", (SOCKET,), at_return=True)),
        (RAW_TRACEPOINT, Attachment("h", "t", (CODE,))),
        (RAW_TRACEPOINT, Attachment("h", "t", (Argument("int", 12),))),
        (TRACEPOINT, Attachment("h", "syscalls:sys_enter_read", (CODE,))),
        (TRACEPOINT, Attachment("h", "syscalls:sys_enter_read", (Argument("int", 6),))),
        (TRACEPOINT, Attachment("h", "syscalls:sys_exit_read", (SOCKET,))),
        (TRACEPOINT, Attachment("h", "net:net_dev_queue", (SOCKET,))),
    ],
)
def test_what_is_not_to_be_had_is_an_error(kind: SourceKind, attachment: Attachment) -> None:
    with pytest.raises(ValueError, match="is not"):
        render_programs([(kind, attachment)], {"f": 2})


def names(programs: Sequence[Program]) -> list[str]:
    return [program.name for program in programs]


def test_one_kprobe_program_serves_many_functions() -> None:
    other = Attachment("leave_send", "udp_sendmsg", (CODE,), at_return=True)
    (program,) = render_programs([(KPROBE, SENT), (KPROBE, other), (KPROBE, SENT)], {})
    assert program.attachments == (SENT, other)
    assert program.at_return


def test_fentry_programs_are_loaded_for_each_function_and_compiled_for_each_shape() -> None:
    functions = {"tcp_sendmsg": 3, "udp_sendmsg": 3, "short": 1}
    leaves = [Attachment("leave_send", name, (CODE,), at_return=True) for name in functions]
    programs = render_programs([(FENTRY, attachment) for attachment in leaves], functions)
    assert [program.attachments for program in programs] == [(attachment,) for attachment in leaves]
    assert names(programs) == ["leave_send__fentry", "leave_send__fentry", "leave_send__fentry__2"]
    assert render_text(programs).count("\nint ") == 2


def test_the_same_handler_with_other_arguments_is_another_program() -> None:
    other = Attachment("enter_send", "udp_sendmsg", (SIZE, SOCKET))
    assert names(render_programs([(KPROBE, SEND), (KPROBE, other)], {})) == [
        "enter_send__kprobe",
        "enter_send__kprobe__2",
    ]
    call = Attachment("enter_send", "*_sys_sendto", (SOCKET, SIZE))
    assert len(render_programs([(KPROBE, SEND), (KPROBE, call)], {})) == 2


def test_a_second_program_at_a_place_is_loaded_and_not_compiled_again() -> None:
    first, again = (Attachment("change", "state", (SOCKET,), again=flag) for flag in (False, True))
    lone = Attachment("change", "elsewhere", (SOCKET,))
    programs = render_programs([(RAW_TRACEPOINT, item) for item in (first, again)], {})
    assert [program.attachments for program in programs] == [(first,), (again,)]
    assert [program.seen_twice for program in programs] == [True, True]
    assert len(set(names(programs))) == 1
    assert not one(RAW_TRACEPOINT, lone).seen_twice


@pytest.mark.parametrize("kind", SourceKind)
def test_every_declared_attachment_can_be_rendered(kind: SourceKind) -> None:
    chosen = [
        (kind, item) for hook in HOOKS for source in hook.sources if source.kind is kind for item in source.attachments
    ]
    programs = render_programs(chosen, {attachment.function: 4 for _, attachment in chosen})
    assert {item for program in programs for item in program.attachments} == {item for _, item in chosen}
    texts = {program.name: program.text for program in programs}
    assert all(texts[program.name] == program.text for program in programs)
