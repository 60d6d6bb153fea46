"""agent/kernel/plan.py: what is chosen for each kernel, and what is said about the rest."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.kernel import plan as plan_module
from agent.kernel.btf import Function
from agent.kernel.hook import Argument, Attachment, Cost, Hook, Source, SourceKind, Stage
from agent.kernel.hooks import HOOKS
from agent.kernel.plan import UNAVAILABLE, AttachMode, KernelOffer, examine_kernel, make_plan
from agent.kernel.tracefs import TracefsError

FENTRY, KPROBE = SourceKind.FENTRY, SourceKind.KPROBE
TRACEPOINT, RAW_TRACEPOINT = SourceKind.TRACEPOINT, SourceKind.RAW_TRACEPOINT
UPROBE = SourceKind.UPROBE


def places(kind: SourceKind) -> frozenset[str]:
    return frozenset(place for hook in HOOKS for s in hook.sources if s.kind is kind for place in s.places)


EVERYTHING = KernelOffer(
    "", "", "", "mounted", places(TRACEPOINT), {name: Function(1, 3) for name in places(FENTRY)}, places(KPROBE)
)
TRACEPOINTS_ONLY = replace(
    EVERYTHING, fentry="no fentry", kprobe="no kprobes", uprobe="no uprobes", functions={}, symbols=frozenset()
)
NOTHING = KernelOffer("no fentry", "no kprobes", "no tracefs", "not mounted", uprobe="no uprobes")

BY_RAW_TRACEPOINT = {hook.name for hook in HOOKS if all(s.kind is RAW_TRACEPOINT for s in hook.sources)}
WITH_TRACEPOINT = {hook.name for hook in HOOKS if any(s.kind in (TRACEPOINT, RAW_TRACEPOINT) for s in hook.sources)}
BY_UPROBE = {hook.name for hook in HOOKS if any(s.kind is UPROBE for s in hook.sources)}


def chosen(offer: KernelOffer, mode: AttachMode = AttachMode.AUTO) -> dict[str, SourceKind | None]:
    return {p.hook.name: p.source.kind if p.source else None for p in make_plan(offer, mode).hooks}


def made_of(*sources: Source) -> Hook:
    return Hook("made", Stage.READ, Cost.CALL, sources, ("something",))


def test_tracepoints_serve_every_system_call() -> None:
    kinds = chosen(TRACEPOINTS_ONLY)
    assert {name for name, kind in kinds.items() if kind} == WITH_TRACEPOINT
    assert set(kinds.values()) == {TRACEPOINT, RAW_TRACEPOINT, None}


@pytest.mark.parametrize("mode", AttachMode)
def test_every_mode_serves_every_hook_where_everything_is_offered(mode: AttachMode) -> None:
    kinds = chosen(EVERYTHING, mode)
    served = {name for name, kind in kinds.items() if kind}
    assert served == (WITH_TRACEPOINT | BY_UPROBE if mode is AttachMode.TRACEPOINT else set(kinds))
    assert all(kinds[name] is RAW_TRACEPOINT for name in BY_RAW_TRACEPOINT)
    assert all(kinds[name] is UPROBE for name in BY_UPROBE)
    if mode is not AttachMode.AUTO:
        hooks = {hook.name: hook for hook in HOOKS}
        for name, kind in kinds.items():
            offered = {source.kind for source in hooks[name].sources}
            assert kind in (SourceKind(mode.value), RAW_TRACEPOINT, UPROBE, None), name
            assert kind is not RAW_TRACEPOINT or SourceKind(mode.value) not in offered, name


@pytest.mark.parametrize("kind", [FENTRY, KPROBE])
def test_a_missing_function_costs_one_source(kind: SourceKind) -> None:
    (place,) = {p for hook in HOOKS if hook.name == "dup3" for s in hook.sources if s.kind is kind for p in s.places}
    functions = {name: function for name, function in EVERYTHING.functions.items() if name != place}
    offer = replace(EVERYTHING, functions=functions, symbols=EVERYTHING.symbols - {place})
    (dup,) = (p for p in make_plan(offer, AttachMode(kind.value)).hooks if p.hook.name == "dup3")
    assert not dup.is_attached
    assert dup.reasons[kind].endswith(f"function {place}")
    assert {name for name, found in chosen(offer).items() if not found} == set()


def test_a_missing_tracepoint_costs_one_hook() -> None:
    offer = replace(TRACEPOINTS_ONLY, tracepoints=EVERYTHING.tracepoints - {"syscalls:sys_enter_dup2"})
    (missing,) = [p for p in make_plan(offer).hooks if not p.is_attached and p.hook.name in WITH_TRACEPOINT]
    assert missing.hook.name == "dup2"
    assert missing.reasons[TRACEPOINT] == "this kernel has no syscalls:sys_enter_dup2"
    assert set(missing.hook.lost) <= set(make_plan(offer).lost)
    assert make_plan(offer).can_run


def test_sources_are_taken_in_order_of_preference() -> None:
    at = (Attachment("handler", "tcp_sendmsg"),)
    both = made_of(Source(FENTRY, at), Source(KPROBE, at))
    offer = replace(EVERYTHING, functions={"tcp_sendmsg": Function(1, 3)}, symbols=frozenset(("tcp_sendmsg",)))
    for changed, kind in ((offer, FENTRY), (replace(offer, fentry="no"), KPROBE)):
        (planned,) = make_plan(changed, hooks=(both,)).hooks
        assert planned.source is not None
        assert planned.source.kind is kind
    (planned,) = make_plan(replace(offer, fentry="no", kprobe="neither"), hooks=(both,)).hooks
    assert planned.source is None
    assert planned.reasons == {FENTRY: "no", KPROBE: "neither"}
    (planned,) = make_plan(offer, AttachMode.KPROBE, (both,)).hooks
    assert planned.reasons == {FENTRY: "not asked for (--attach kprobe)"}


def test_a_tracepoint_that_no_function_replaces_belongs_to_every_mode() -> None:
    only = made_of(Source(TRACEPOINT, (Attachment("handler", "syscalls:sys_enter_read"),)))
    for mode in AttachMode:
        assert make_plan(EVERYTHING, mode, (only,)).has("made")


def test_two_sources_of_one_kind_are_both_tried() -> None:
    long, short = (
        Source(RAW_TRACEPOINT, (Attachment("handler", "kfree_skb", (Argument("int", position),)),))
        for position in (3, 1)
    )
    (planned,) = make_plan(replace(EVERYTHING, arguments={"kfree_skb": 2}), hooks=(made_of(long, short),)).hooks
    assert planned.source is short
    assert planned.reasons == {RAW_TRACEPOINT: "kfree_skb of this kernel has 2 arguments instead of 4"}
    plan = make_plan(EVERYTHING, hooks=(made_of(long, short),))
    (planned,) = plan.without({(RAW_TRACEPOINT, long.attachments[0]): "too long"}).hooks
    assert planned.source is short
    assert planned.reasons == {RAW_TRACEPOINT: "too long"}


def test_without_tracefs_only_raw_tracepoints_remain() -> None:
    plan = make_plan(NOTHING)
    attached = {p.hook.name for p in plan.hooks if p.is_attached}
    assert attached == {hook.name for hook in HOOKS if any(s.kind is RAW_TRACEPOINT for s in hook.sources)}
    assert attached >= {"connect_outcome", "process_exit"}
    assert {p.reasons[TRACEPOINT] for p in plan.hooks if TRACEPOINT in p.reasons} == {"no tracefs"}
    assert not plan.can_run
    assert plan.obstacles == ("fentry: no fentry", "tracepoint: no tracefs", "kprobe: no kprobes")


def test_what_the_kernel_refuses_leaves_the_plan() -> None:
    plan = make_plan(TRACEPOINTS_ONLY)
    leaves = next(a for kind, a in plan.attachments if a.to == "syscalls:sys_exit_recvmmsg")
    after = plan.without({(TRACEPOINT, leaves): "too large"})
    (refused,) = [p for p, before in zip(after.hooks, plan.hooks, strict=True) if p != before]
    assert (refused.hook.name, refused.is_attached) == ("recvmmsg", False)
    assert refused.reasons[TRACEPOINT] == "too large"
    assert set(refused.hook.lost) <= set(after.lost)
    assert "syscalls:sys_enter_recvmmsg" not in {a.to for _, a in after.attachments}
    assert plan.without({}) == plan


def test_what_the_kernel_refuses_is_replaced_by_the_next_source() -> None:
    plan = make_plan(EVERYTHING)
    for _ in range(3):
        (recvmmsg,) = (p for p in plan.hooks if p.hook.name == "recvmmsg")
        assert recvmmsg.source is not None
        plan = plan.without({(recvmmsg.source.kind, recvmmsg.source.attachments[0]): "refused"})
    (recvmmsg,) = (p for p in plan.hooks if p.hook.name == "recvmmsg")
    assert not recvmmsg.is_attached
    assert set(recvmmsg.reasons.values()) == {"refused"}
    assert {p.hook.name for p in plan.hooks if not p.is_attached} == {"recvmmsg"}


@pytest.mark.parametrize("mode", AttachMode)
@pytest.mark.parametrize("name", [hook.name for hook in HOOKS])
def test_without_any_one_hook_the_rest_is_planned_and_what_is_lost_is_named(name: str, mode: AttachMode) -> None:
    full, plan = make_plan(EVERYTHING, mode), make_plan(EVERYTHING, mode, unavailable=[name])
    assert full.has(name) or mode is AttachMode.TRACEPOINT
    assert not plan.has(name)
    (missing,) = (p for p in plan.hooks if p.hook.name == name)
    assert set(missing.reasons.values()) == {UNAVAILABLE}
    assert set(plan.lost) == {*full.lost, *missing.hook.lost}
    assert [p for p in plan.hooks if p is not missing] == [p for p in full.hooks if p.hook.name != name]
    assert plan.can_run


def test_hooks_that_do_not_exist_cannot_be_unavailable() -> None:
    with pytest.raises(ValueError, match=r"no hook is named a, b; docs/hooks\.md"):
        make_plan(EVERYTHING, unavailable=["b", "read", "a"])


@pytest.mark.kernel
def test_this_kernel_is_examined() -> None:
    offer = examine_kernel()
    assert offer.tracepoint == ""
    assert "syscalls:sys_enter_connect" in offer.tracepoints
    assert (offer.kprobe == "") == Path("/sys/bus/event_source/devices/kprobe").exists()
    if not offer.kprobe:
        assert {place for place in places(KPROBE) if "_sys_" in place} <= offer.symbols
    if not offer.fentry:
        assert {offer.functions[place].parameters for place in places(FENTRY) if "_sys_" in place} == {1}


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
