"""The attach planner: what this kernel offers, and which source each hook gets.

A source that is missing never stops the agent. The plan says what was chosen, why the rest was not, and what is lost.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Final

from agent.kernel import bpf_programs
from agent.kernel.btf import VMLINUX, Btf, BtfError, Function
from agent.kernel.hook import FUNCTION_KINDS, Attachment, Hook, Source, SourceKind
from agent.kernel.hooks import HOOKS
from agent.kernel.privileges import missing_capabilities, obstacles
from agent.kernel.tracefs import Tracefs, TracefsError

SYMBOLS: Final = Path("/proc/kallsyms")
KPROBE_PMU: Final = Path("/sys/bus/event_source/devices/kprobe/type")
UPROBE_PMU: Final = Path("/sys/bus/event_source/devices/uprobe/type")
_FENTRY_EXAMPLE: Final = "tcp_sendmsg"


class AttachMode(Enum):
    """Which kind of source is asked for."""

    AUTO = "auto"
    FENTRY = "fentry"
    KPROBE = "kprobe"
    TRACEPOINT = "tracepoint"


_KINDS_OF_MODE: Final = {
    AttachMode.AUTO: FUNCTION_KINDS | {SourceKind.TRACEPOINT},
    AttachMode.FENTRY: frozenset((SourceKind.FENTRY,)),
    AttachMode.KPROBE: frozenset((SourceKind.KPROBE,)),
    AttachMode.TRACEPOINT: frozenset((SourceKind.TRACEPOINT,)),
}

_KINDS_OF_EVERY_MODE: Final = frozenset((SourceKind.RAW_TRACEPOINT, SourceKind.UPROBE))

UNAVAILABLE: Final = "declared unavailable by the configuration"

Refused = Mapping[tuple[SourceKind, Attachment], str]
"""Why the kernel did not take what was to be attached."""


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
    functions: Mapping[str, Function] = field(default_factory=dict)
    """Of the functions that the hooks name, those that the kernel's BTF knows."""
    symbols: frozenset[str] = frozenset()
    """Of the functions that the hooks name, those that kprobes find."""
    arguments: Mapping[str, int] = field(default_factory=dict)
    """Of the raw tracepoints that the hooks name, how many arguments each has; empty without BTF."""
    uprobe: str = ""
    """Why functions of programs cannot be attached to. Which programs have them is seen when they run."""

    def reason_against(self, source: Source) -> str:
        """Why `source` cannot be used on this kernel, or ""."""
        if source.kind is SourceKind.RAW_TRACEPOINT:
            return self._reason_against_arguments(source)
        if source.kind is SourceKind.UPROBE:
            return self.uprobe
        unusable, known, where = {
            SourceKind.FENTRY: (self.fentry, self.functions, "the kernel's BTF has no function"),
            SourceKind.KPROBE: (self.kprobe, self.symbols, "this kernel has no function"),
            SourceKind.TRACEPOINT: (self.tracepoint, self.tracepoints, "this kernel has no"),
        }[source.kind]
        missing = [place for place in source.places if place not in known]
        return unusable or (f"{where} {', '.join(missing)}" if missing else "")

    def _reason_against_arguments(self, source: Source) -> str:
        """Whether there is such a raw tracepoint is shown by attaching to it, which is too late to find it shorter."""
        for attachment in source.attachments:
            there = self.arguments.get(attachment.to)
            needed = 1 + max((argument.position for argument in attachment.arguments), default=-1)
            if there is not None and there < needed:
                return f"{attachment.to} of this kernel has {there} arguments instead of {needed}"
        return ""


@dataclass(frozen=True)
class PlannedHook:
    """One hook with its source, or with the reasons for none."""

    hook: Hook
    source: Source | None
    reasons: Mapping[SourceKind, str] = field(default_factory=dict)
    """Why each source that was passed over could not be used."""
    withheld: Source | None = None
    """What a hook that is declared unavailable would have."""

    @property
    def is_attached(self) -> bool:
        """Whether the hook has a source."""
        return self.source is not None


@dataclass(frozen=True)
class Plan:
    """A source for each hook."""

    hooks: tuple[PlannedHook, ...]
    offer: KernelOffer
    mode: AttachMode

    def has(self, name: str) -> bool:
        """Whether the hook `name` has a source."""
        return any(planned.hook.name == name and planned.is_attached for planned in self.hooks)

    @property
    def attachments(self) -> Iterator[tuple[SourceKind, Attachment]]:
        """Everything to attach."""
        for planned in self.hooks:
            if planned.source is not None:
                for attachment in planned.source.attachments:
                    yield planned.source.kind, attachment

    @property
    def compiled(self) -> Iterator[tuple[SourceKind, Attachment]]:
        """Everything to compile: also what is withheld, so that one compiled text serves every such choice."""
        for planned in self.hooks:
            source = planned.source or planned.withheld
            if source is not None:
                for attachment in source.attachments:
                    yield source.kind, attachment

    @property
    def lost(self) -> tuple[str, ...]:
        """What the access logs lack on this kernel, each thing once."""
        return tuple(
            dict.fromkeys(text for planned in self.hooks if planned.source is None for text in planned.hook.lost)
        )

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

    def without(self, refused: Refused) -> "Plan":
        """The plan after the kernel refused some attachments: their hooks get their next source, or none."""
        return replace(self, hooks=tuple(self._without(planned, refused) for planned in self.hooks))

    def _without(self, planned: PlannedHook, refused: Refused) -> PlannedHook:
        source = planned.source
        if source is None:
            return planned
        keys = [(source.kind, attachment) for attachment in source.attachments]
        reason = "; ".join(dict.fromkeys(refused[key] for key in keys if key in refused))
        if not reason:
            return planned
        later = planned.hook.sources[planned.hook.sources.index(source) + 1 :]
        return _choose(planned.hook, later, self.offer, self.mode, _with(planned.reasons, source, reason))


def examine_kernel(hooks: tuple[Hook, ...] = HOOKS) -> KernelOffer:
    """Probe what this kernel offers to `hooks`. Changes nothing that others see."""
    tracepoint, reached, found = "", "", frozenset[str]()
    try:
        with closing(Tracefs()) as tracefs:
            reached = (
                f"mounted at {tracefs.root}" if tracefs.is_mounted else "not mounted; the agent uses its own mount"
            )
            found = frozenset(name for name in _places(hooks, SourceKind.TRACEPOINT) if tracefs.has(name))
    except TracefsError as error:
        tracepoint = reached = str(error)
    if not found and not tracepoint:
        tracepoint = "this kernel traces no system calls (CONFIG_FTRACE_SYSCALLS)"
    fentry, functions, arguments = _examine_btf(hooks)
    kprobe, symbols = _examine_kprobes(_places(hooks, SourceKind.KPROBE))
    uprobe = "" if UPROBE_PMU.exists() else "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)"
    return KernelOffer(fentry, kprobe, tracepoint, reached, found, functions, symbols, arguments, uprobe)


def _places(hooks: tuple[Hook, ...], kind: SourceKind) -> frozenset[str]:
    return frozenset(
        place for hook in hooks for source in hook.sources if source.kind is kind for place in source.places
    )


def _examine_btf(hooks: tuple[Hook, ...]) -> tuple[str, Mapping[str, Function], Mapping[str, int]]:
    """Why fentry programs cannot be attached, or ""; the functions and the raw tracepoints that BTF knows."""
    try:
        btf = Btf.read(VMLINUX)
        functions = btf.functions(_places(hooks, SourceKind.FENTRY) | {_FENTRY_EXAMPLE})
        arguments = btf.tracepoints(_places(hooks, SourceKind.RAW_TRACEPOINT))
    except BtfError as error:
        return f"no BTF: {error}", {}, {}
    if _FENTRY_EXAMPLE not in functions:
        return f"the kernel's BTF does not know {_FENTRY_EXAMPLE}", {}, arguments
    try:
        bpf_programs.try_fentry(functions[_FENTRY_EXAMPLE].type_id)
    except OSError as error:
        return f"the kernel refuses fentry programs ({error.strerror})", {}, arguments
    return "", functions, arguments


def _examine_kprobes(wanted: frozenset[str]) -> tuple[str, frozenset[str]]:
    """Why kprobes cannot be attached, or "" and those of the functions that they can be attached to."""
    if not KPROBE_PMU.exists():
        return "this kernel has no kprobes (CONFIG_KPROBES)", frozenset()
    if "CAP_PERFMON" in {capability.name for capability in obstacles(missing_capabilities())}:
        return "kprobes take CAP_PERFMON; run as root", frozenset()
    try:
        with SYMBOLS.open() as lines:
            names = {line.split(None, 3)[2] for line in lines}
    except OSError as error:
        return f"cannot read {SYMBOLS}: {error.strerror}", frozenset()
    return "", wanted & names


def make_plan(
    offer: KernelOffer,
    mode: AttachMode = AttachMode.AUTO,
    hooks: tuple[Hook, ...] = HOOKS,
    unavailable: Collection[str] = (),
) -> Plan:
    """Choose a source for each hook: the first that is asked for and offered.

    Args:
        offer: What the kernel has.
        mode: The kind asked for.
        hooks: What is to be watched.
        unavailable: Names of hooks that get no source.

    Raises:
        ValueError: No hook has such a name.
    """
    unknown = set(unavailable) - {hook.name for hook in hooks}
    if unknown:
        raise ValueError(f"no hook is named {', '.join(sorted(unknown))}; docs/hooks.md names all")
    return Plan(
        tuple(
            _withhold(planned) if planned.hook.name in unavailable else planned
            for planned in (_choose(hook, hook.sources, offer, mode, {}) for hook in hooks)
        ),
        offer,
        mode,
    )


def _withhold(planned: PlannedHook) -> PlannedHook:
    reasons = {source.kind: UNAVAILABLE for source in planned.hook.sources}
    return PlannedHook(planned.hook, None, reasons, withheld=planned.source)


def _choose(
    hook: Hook, sources: tuple[Source, ...], offer: KernelOffer, mode: AttachMode, reasons: Mapping[SourceKind, str]
) -> PlannedHook:
    for source in sources:
        if not _is_asked_for(source, hook, mode):
            reason = f"not asked for (--attach {mode.value})"
        else:
            reason = offer.reason_against(source)
        if not reason:
            return PlannedHook(hook, source, reasons)
        reasons = _with(reasons, source, reason)
    return PlannedHook(hook, None, reasons)


def _with(reasons: Mapping[SourceKind, str], source: Source, reason: str) -> dict[SourceKind, str]:
    before = reasons.get(source.kind)
    return {**reasons, source.kind: f"{before}; {reason}" if before and before != reason else reason}


def _is_asked_for(source: Source, hook: Hook, mode: AttachMode) -> bool:
    """Raw tracepoints and uprobes belong to every mode, and tracepoints where no function tells the same."""
    if source.kind in _KINDS_OF_EVERY_MODE or source.kind in _KINDS_OF_MODE[mode]:
        return True
    return source.kind is SourceKind.TRACEPOINT and not any(other.kind in FUNCTION_KINDS for other in hook.sources)
