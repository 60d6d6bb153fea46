"""agent/kernel/hooks.py and stage_hooks.py against the handlers in bpf/."""

import re

from agent.events.layout import EventKind
from agent.kernel import tls_hooks
from agent.kernel.hook import CALL_MARK, Attachment, SourceKind
from agent.kernel.hooks import HOOKS, SYSTEM_CALL_HOOKS
from agent.kernel.loader import PROGRAMS_FOLDER, SOURCES

TEXT = "".join((PROGRAMS_FOLDER / name).read_text() for name in SOURCES)
FUNCTION = re.compile(r"^static __always_inline [\w ]+?\*?(\w+)\(([^)]*)\)", re.MULTILINE)


def attachments() -> list[tuple[SourceKind, Attachment]]:
    return [(source.kind, item) for hook in HOOKS for source in hook.sources for item in source.attachments]


def test_every_handler_is_defined_with_the_arguments_that_are_declared() -> None:
    defined = dict(FUNCTION.findall(TEXT))
    for _, attachment in attachments():
        parameters = [" ".join(p.split()) for p in defined[attachment.handler].split(",") if p.strip() != "void"]
        types = [re.sub(r"\w+$", "", parameter) for parameter in parameters]
        assert [plain(t) for t in types] == [plain(a.c_type) for a in attachment.arguments], attachment


def plain(c_type: str) -> str:
    """One name for one type; what a pointer points to may be constant."""
    name = c_type.removeprefix("const ").strip()
    return {"unsigned int": "u32"}.get(name, name)


def test_no_function_is_left_over() -> None:
    handlers = {attachment.handler for _, attachment in attachments()}
    unused = {name for name, _ in FUNCTION.findall(TEXT) if len(re.findall(rf"\b{name}\b", TEXT)) == 1}
    assert unused <= handlers
    assert set(SOURCES) == {path.name for path in PROGRAMS_FOLDER.iterdir() if path.suffix in {".c", ".h"}}


def test_what_a_function_of_a_library_does_is_named_alike_in_both_languages() -> None:
    numbers = {name: int(value, 0) for name, value in re.findall(r"^#define (TLS_\w+) (0x\w+)", TEXT, re.MULTILINE)}
    assert numbers == {
        "TLS_KIND": 0x0F,
        "TLS_COUNTS": tls_hooks.COUNTS,
        "TLS_HAS_NO_BUFFER": tls_hooks.HAS_NO_BUFFER,
        "TLS_FREES": tls_hooks.FREES,
    }
    assert (tls_hooks.READS, tls_hooks.WRITES) == (EventKind.READ, EventKind.WRITE)
    assert max(tls_hooks.READS, tls_hooks.WRITES) < numbers["TLS_KIND"]


def test_hooks_are_told_apart() -> None:
    assert len({hook.name for hook in HOOKS}) == len(HOOKS)


def test_a_hook_says_what_is_lost_and_has_a_way() -> None:
    for hook in HOOKS:
        assert hook.lost
        assert all(source.attachments for source in hook.sources)


def test_system_calls_are_served_by_function_as_by_tracepoint() -> None:
    by_call = [hook for hook in SYSTEM_CALL_HOOKS if any(s.kind is SourceKind.TRACEPOINT for s in hook.sources)]
    assert len(by_call) == 23
    for hook in by_call:
        ways = {source.kind: source.attachments for source in hook.sources}
        assert ways[SourceKind.FENTRY] == ways[SourceKind.KPROBE]
        for by_function, by_tracepoint in zip(ways[SourceKind.FENTRY], ways[SourceKind.TRACEPOINT], strict=True):
            assert by_function.handler == by_tracepoint.handler
            assert by_function.arguments == by_tracepoint.arguments
            assert by_function.at_return == by_tracepoint.to.startswith("syscalls:sys_exit_")
            assert by_function.to.removeprefix(CALL_MARK) == by_tracepoint.to.split("_", 2)[2]
