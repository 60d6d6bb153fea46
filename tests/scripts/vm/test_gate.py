"""What counts as a kernel on which every program loads and attaches."""

from typing import Any

import pytest

from scripts.vm.gate import judge

NOT_ASKED_FOR = "not asked for"


def hook(name: str, source: str | None, **reasons: str) -> dict[str, Any]:
    return {"name": name, "source": source, "reasons": reasons}


def answer(*hooks: dict[str, Any], programs: str = "") -> dict[str, Any]:
    findings = [
        {"name": "programs", "good": not programs, "required": True, "text": programs or "loaded"},
        {"name": "kprobes", "good": False, "required": False, "text": "none here"},
    ]
    return {"can_run": not programs, "hooks": list(hooks), "findings": findings}


def test_all_hooks_of_the_kind_that_was_asked_for() -> None:
    verdict = judge(answer(hook("read", "kprobe", fentry=NOT_ASKED_FOR), hook("write", "kprobe")), "kprobe")
    assert verdict.passed
    assert verdict.text == "2 of 2 hooks attached"


def test_a_hook_that_declares_no_source_of_the_kind_may_have_another() -> None:
    assert judge(answer(hook("process exit", "raw_tracepoint")), "fentry").passed


def test_another_kind_where_the_one_asked_for_failed_is_a_failure() -> None:
    verdict = judge(answer(hook("read", "raw_tracepoint", fentry="the kernel refuses it")), "fentry")
    assert not verdict.passed
    assert verdict.text == "1 of 1 hooks attached\n    read: the kernel refuses it"


@pytest.mark.parametrize("mode", ["fentry", "kprobe", "auto"])
def test_a_hook_without_a_source_is_a_failure(mode: str) -> None:
    verdict = judge(answer(hook("read", "fentry"), hook("write", None, tracepoint="none here")), mode)
    assert not verdict.passed
    assert "write: tracepoint: none here" in verdict.text
    assert not judge(answer(hook("write", None)), mode).passed


def test_with_tracepoints_only_hooks_that_declare_one_are_held_to_it() -> None:
    assert judge(answer(hook("netfilter", None, fentry=NOT_ASKED_FOR, kprobe=NOT_ASKED_FOR)), "tracepoint").passed
    assert not judge(answer(hook("read", None, tracepoint="this kernel has none")), "tracepoint").passed


def test_auto_takes_any_kind() -> None:
    assert judge(answer(hook("read", "fentry"), hook("write", "kprobe", fentry="no such function")), "auto").passed


def test_programs_that_cannot_be_loaded_are_a_failure() -> None:
    verdict = judge(answer(programs="the compiler says no"), "kprobe")
    assert not verdict.passed
    assert "programs: the compiler says no" in verdict.text
    assert "kprobes" not in verdict.text
