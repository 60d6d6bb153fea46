"""The attach planner: what this kernel offers, and which source each hook gets.

A source that is missing never stops the agent. The plan says what was chosen, why the rest was not, and what is lost.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Final

from agent.kernel import bpf_syscall
from agent.kernel.btf import VMLINUX, Btf, BtfError
from agent.kernel.hooks import HOOKS, Attachment, Hook, Source, SourceKind
from agent.kernel.tracefs import Tracefs, TracefsError

KPROBE_PMU: Final = Path("/sys/bus/event_source/devices/kprobe/type")
_FENTRY_EXAMPLE: Final = "tcp_sendmsg"


class AttachMode(Enum):
    """Which kind of source is asked for."""

    AUTO = "auto"
    FENTRY = "fentry"
    KPROBE = "kprobe"
    TRACEPOINT = "tracepoint"


_KINDS_OF_MODE: Final = {
    AttachMode.AUTO: frozenset(SourceKind),
    AttachMode.FENTRY: frozenset((SourceKind.FENTRY, SourceKind.RAW_TRACEPOINT)),
    AttachMode.KPROBE: frozenset((SourceKind.KPROBE, SourceKind.RAW_TRACEPOINT)),
    AttachMode.TRACEPOINT: frozenset((SourceKind.TRACEPOINT, SourceKind.RAW_TRACEPOINT)),
}


@dataclass(frozen=True)
class KernelOffer:
    """What this kernel can attach programs to. A reason is empty where it can."""

    fentry: str
    """Why fentry programs cannot be attached."""
    kprobe: str
    """Why kprobes cannot be attached."""
    tracepoint: str
    """Why tracepoints cannot be listed at all."""
    tracefs: str
    """In words, how tracefs was reached."""
    tracepoints: frozenset[str] = frozenset()
    """Of the tracepoints that the hooks name, those that this kernel has."""

    def reason_against(self, source: Source) -> str:
        """Why `source` cannot be used on this kernel, or ""."""
        if source.kind is SourceKind.FENTRY:
            return self.fentry
        if source.kind is SourceKind.KPROBE:
            return self.kprobe
        if source.kind is SourceKind.RAW_TRACEPOINT:
            return ""  # shown by attaching it
        if self.tracepoint:
            return self.tracepoint
        missing = [a.to for a in source.attachments if a.to not in self.tracepoints]
        return f"this kernel has no {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class PlannedHook:
    """One hook with its source, or with the reasons for none."""

    hook: Hook
    source: Source | None
    reasons: Mapping[SourceKind, str] = field(default_factory=dict)
    """Why each source that was passed over could not be used."""

    @property
    def is_attached(self) -> bool:
        """Whether the hook has a source."""
        return self.source is not None


@dataclass(frozen=True)
class Plan:
    """A source for each hook."""

    hooks: tuple[PlannedHook, ...]
    offer: KernelOffer

    @property
    def attachments(self) -> Iterator[tuple[SourceKind, Attachment]]:
        """Everything to attach."""
        for planned in self.hooks:
            if planned.source is not None:
                for attachment in planned.source.attachments:
                    yield planned.source.kind, attachment

    @property
    def lost(self) -> tuple[str, ...]:
        """What the access logs lack on this kernel."""
        return tuple(text for planned in self.hooks if planned.source is None for text in planned.hook.lost)

    @property
    def can_run(self) -> bool:
        """Whether at least one stage can be watched."""
        return any(planned.source is not None and planned.hook.required for planned in self.hooks)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why required hooks have no source, each reason once."""
        reasons = [
            f"{kind.value}: {reason}"
            for planned in self.hooks
            if planned.source is None and planned.hook.required
            for kind, reason in planned.reasons.items()
        ]
        return tuple(dict.fromkeys(reasons))

    def without(self, refused: Mapping[str, str]) -> "Plan":
        """The plan after the kernel refused some attachments.

        Args:
            refused: Reason by "program place".
        """
        hooks = []
        for planned in self.hooks:
            reason = "; ".join(
                refused[f"{attachment.program} {attachment.to}"]
                for attachment in (planned.source.attachments if planned.source else ())
                if f"{attachment.program} {attachment.to}" in refused
            )
            if planned.source is not None and reason:
                reasons = {**planned.reasons, planned.source.kind: reason}
                hooks.append(replace(planned, source=None, reasons=reasons))
            else:
                hooks.append(planned)
        return replace(self, hooks=tuple(hooks))


def examine_kernel() -> KernelOffer:
    """Probe what this kernel offers. Changes nothing that others see."""
    wanted = {
        attachment.to
        for hook in HOOKS
        for source in hook.sources
        if source.kind is SourceKind.TRACEPOINT
        for attachment in source.attachments
    }
    tracepoint, reached, found = "", "", frozenset[str]()
    try:
        with closing(Tracefs()) as tracefs:
            reached = (
                f"mounted at {tracefs.root}" if tracefs.is_mounted else "not mounted; the agent uses its own mount"
            )
            found = frozenset(name for name in wanted if tracefs.has(name))
    except TracefsError as error:
        tracepoint = reached = str(error)
    if not found and not tracepoint:
        tracepoint = "this kernel traces no system calls (CONFIG_FTRACE_SYSCALLS)"
    kprobe = "" if KPROBE_PMU.exists() else "this kernel has no kprobes (CONFIG_KPROBES)"
    return KernelOffer(_reason_against_fentry(), kprobe, tracepoint, reached, found)


def _reason_against_fentry() -> str:
    try:
        function = Btf.read(VMLINUX).function_id(_FENTRY_EXAMPLE)
    except BtfError as error:
        return f"no BTF: {error}"
    if function is None:
        return f"the kernel's BTF does not know {_FENTRY_EXAMPLE}"
    try:
        bpf_syscall.try_fentry(function)
    except OSError as error:
        return f"the kernel refuses fentry programs ({error.strerror})"
    return ""


def make_plan(offer: KernelOffer, mode: AttachMode = AttachMode.AUTO, hooks: tuple[Hook, ...] = HOOKS) -> Plan:
    """Choose a source for each hook: the first that is asked for, built and offered."""
    return Plan(tuple(_choose(hook, offer, mode) for hook in hooks), offer)


def _choose(hook: Hook, offer: KernelOffer, mode: AttachMode) -> PlannedHook:
    reasons: dict[SourceKind, str] = {}
    for source in hook.sources:
        if source.kind not in _KINDS_OF_MODE[mode]:
            reasons[source.kind] = f"not asked for (--attach {mode.value})"
        elif not source.is_built:
            reasons[source.kind] = "not built yet"
        elif reason := offer.reason_against(source):
            reasons[source.kind] = reason
        else:
            return PlannedHook(hook, source, reasons)
    return PlannedHook(hook, None, reasons)
