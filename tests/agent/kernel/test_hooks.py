"""agent/kernel/hooks.py against the programs in bpf/."""

import re

from agent.kernel.hooks import HOOKS, SourceKind
from agent.kernel.loader import PROGRAMS_FOLDER, SOURCES


def test_every_program_is_declared_and_every_declaration_has_one() -> None:
    text = "".join((PROGRAMS_FOLDER / name).read_text() for name in SOURCES)
    defined = re.findall(r"^int (\w+)\(", text, re.MULTILINE)
    guarded = re.findall(r"^#ifdef PROGRAM_(\w+)\nint \1\(", text, re.MULTILINE)
    declared = {a.program for hook in HOOKS for source in hook.sources for a in source.attachments}
    assert sorted(defined) == sorted(guarded) == sorted(declared)
    assert set(SOURCES) == {path.name for path in PROGRAMS_FOLDER.iterdir() if path.suffix in {".c", ".h"}}


def test_hooks_are_told_apart() -> None:
    assert len({hook.name for hook in HOOKS}) == len(HOOKS)
    places = [(a.program, a.to) for hook in HOOKS for source in hook.sources for a in source.attachments]
    assert len(set(places)) == len(places)


def test_a_hook_says_what_is_lost_and_has_a_way() -> None:
    for hook in HOOKS:
        assert hook.lost
        assert any(source.is_built for source in hook.sources)
        assert len({source.kind for source in hook.sources}) == len(hook.sources)


def test_a_program_is_attached_in_one_way() -> None:
    kinds: dict[str, set[SourceKind]] = {}
    for hook in HOOKS:
        for source in hook.sources:
            for attachment in source.attachments:
                kinds.setdefault(attachment.program, set()).add(source.kind)
    assert all(len(found) == 1 for found in kinds.values())
