"""The first gate: whether every program loads and attaches, by what `pyrover-agent doctor --json` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NAME: Final = "every program loads and attaches"


@dataclass(frozen=True)
class Verdict:
    """What one kernel said in one mode."""

    passed: bool
    text: str


def judge(answer: Mapping[str, Any], mode: str) -> Verdict:
    """Whether each hook has the source that the mode asks for.

    Some hooks have no system call tracepoint by nature (the stages between system call and wire), so that a mode
    is only held to what it declares: a hook may be without a source, or with one of another kind, when it has none of
    the mode's kind. fentry and kprobes exist for every hook, and `auto` may take any.
    """
    hooks: Sequence[Mapping[str, Any]] = answer["hooks"]
    wrong = [f"{hook['name']}: {reason}" for hook in hooks if (reason := _reason_against(hook, mode))]
    wrong += [f"{item['name']}: {item['text']}" for item in answer["findings"] if item["required"] and not item["good"]]
    attached = sum(hook["source"] is not None for hook in hooks)
    text = f"{attached} of {len(hooks)} hooks attached"
    return Verdict(bool(answer["can_run"]) and not wrong, "\n    ".join([text, *wrong]))


def _reason_against(hook: Mapping[str, Any], mode: str) -> str:
    if hook["source"] == mode:
        return ""
    passed_over: Mapping[str, str] = hook["reasons"]
    if mode in passed_over:
        return passed_over[mode]
    if hook["source"] is None and mode != "tracepoint":
        return "; ".join(f"{kind}: {reason}" for kind, reason in passed_over.items()) or "it has no source at all"
    return ""
