"""agent/kernel/plan.py: what is chosen for each kernel, and what is said about the rest."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.kernel import plan as plan_module
from agent.kernel.hooks import HOOKS, Attachment, Cost, Hook, Source, SourceKind, Stage
from agent.kernel.plan import AttachMode, KernelOffer, examine_kernel, make_plan
from agent.kernel.tracefs import TracefsError

EVERY_TRACEPOINT = frozenset(
    attachment.to
    for hook in HOOKS
    for source in hook.sources
    if source.kind is SourceKind.TRACEPOINT
    for attachment in source.attachments
)
TRACEPOINTS_ONLY = KernelOffer("no fentry", "no kprobes", "", "mounted", EVERY_TRACEPOINT)
EVERYTHING = replace(TRACEPOINTS_ONLY, fentry="", kprobe="")
NOTHING = KernelOffer("no fentry", "no kprobes", "no tracefs", "not mounted")


def chosen(offer: KernelOffer, mode: AttachMode = AttachMode.AUTO) -> dict[str, SourceKind | None]:
    return {p.hook.name: p.source.kind if p.source else None for p in make_plan(offer, mode).hooks}


def test_tracepoints_serve_every_hook() -> None:
    kinds = chosen(TRACEPOINTS_ONLY)
    assert len(kinds) == len(HOOKS)
    assert {name for name, kind in kinds.items() if kind is SourceKind.RAW_TRACEPOINT} == {
        "connect_outcome",
        "process_exit",
    }
    assert set(kinds.values()) == {SourceKind.TRACEPOINT, SourceKind.RAW_TRACEPOINT}


def test_what_is_not_built_is_never_chosen() -> None:
    plan = make_plan(EVERYTHING)
    assert chosen(EVERYTHING) == chosen(TRACEPOINTS_ONLY)
    connect = next(p for p in plan.hooks if p.hook.name == "connect")
    assert connect.reasons == {SourceKind.FENTRY: "not built yet", SourceKind.KPROBE: "not built yet"}
    for mode in (AttachMode.FENTRY, AttachMode.KPROBE):
        kinds = chosen(EVERYTHING, mode)
        assert {name for name, kind in kinds.items() if kind} == {"connect_outcome", "process_exit"}


def test_a_missing_tracepoint_costs_one_hook() -> None:
    offer = replace(TRACEPOINTS_ONLY, tracepoints=EVERY_TRACEPOINT - {"syscalls:sys_enter_dup2"})
    plan = make_plan(offer)
    (missing,) = [planned for planned in plan.hooks if not planned.is_attached]
    assert missing.hook.name == "dup2"
    assert missing.reasons[SourceKind.TRACEPOINT] == "this kernel has no syscalls:sys_enter_dup2"
    assert plan.lost == missing.hook.lost
    assert plan.can_run


def test_built_sources_are_taken_in_order_of_preference() -> None:
    at = (Attachment("program", "place"),)
    both = Hook("both", Stage.READ, Cost.CALL, (Source(SourceKind.FENTRY, at), Source(SourceKind.KPROBE, at)), ())
    for offer, kind in ((EVERYTHING, SourceKind.FENTRY), (replace(EVERYTHING, fentry="no"), SourceKind.KPROBE)):
        (planned,) = make_plan(offer, hooks=(both,)).hooks
        assert planned.source is not None
        assert planned.source.kind is kind
    (planned,) = make_plan(replace(EVERYTHING, fentry="no", kprobe="neither"), hooks=(both,)).hooks
    assert planned.source is None
    assert planned.reasons == {SourceKind.FENTRY: "no", SourceKind.KPROBE: "neither"}
    (planned,) = make_plan(EVERYTHING, AttachMode.KPROBE, (both,)).hooks
    assert planned.reasons == {SourceKind.FENTRY: "not asked for (--attach kprobe)"}


def test_without_tracefs_only_raw_tracepoints_remain() -> None:
    plan = make_plan(NOTHING)
    assert [p.hook.name for p in plan.hooks if p.is_attached] == ["connect_outcome", "process_exit"]
    assert {p.reasons[SourceKind.TRACEPOINT] for p in plan.hooks if not p.is_attached} == {"no tracefs"}
    assert not plan.can_run


def test_what_the_kernel_refuses_leaves_the_plan() -> None:
    plan = make_plan(TRACEPOINTS_ONLY)
    after = plan.without({"exit_messages syscalls:sys_exit_recvmmsg": "too large"})
    (refused,) = [planned for planned in after.hooks if not planned.is_attached]
    assert refused.hook.name == "recvmmsg"
    assert refused.reasons[SourceKind.TRACEPOINT] == "too large"
    assert after.lost == refused.hook.lost
    assert ("enter_recvmmsg", "syscalls:sys_enter_recvmmsg") not in {(a.program, a.to) for _, a in after.attachments}
    assert plan.without({}) == plan


@pytest.mark.kernel
def test_this_kernel_is_examined() -> None:
    offer = examine_kernel()
    assert offer.tracepoint == ""
    assert "syscalls:sys_enter_connect" in offer.tracepoints
    assert (offer.kprobe == "") == Path("/sys/bus/event_source/devices/kprobe").exists()


def test_a_kernel_without_anything_is_examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_tracefs() -> None:
        raise TracefsError("not here")

    monkeypatch.setattr(plan_module, "Tracefs", no_tracefs)
    monkeypatch.setattr(plan_module, "VMLINUX", tmp_path / "none")
    monkeypatch.setattr(plan_module, "KPROBE_PMU", tmp_path / "none")
    offer = examine_kernel()
    assert (offer.tracepoint, offer.tracefs, offer.tracepoints) == ("not here", "not here", frozenset())
    assert "cannot read" in offer.fentry
    assert "CONFIG_KPROBES" in offer.kprobe
