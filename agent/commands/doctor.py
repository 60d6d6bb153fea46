"""`pyrover-agent doctor`: what this machine offers, what the agent would watch, what it would miss."""

import argparse
import json
import os
import platform
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from agent.kernel.btf import VMLINUX, Btf, BtfError
from agent.kernel.headers import MACHINES
from agent.kernel.loader import LoaderError, find_interpreter
from agent.kernel.plan import AttachMode, Plan, PlannedHook, examine_kernel, make_plan

SUMMARY = "Show what this machine offers to the agent, what would be watched and what would be missed."

_WIDTH: Final = 96
_NAME_WIDTH: Final = 17

# Bits of /proc/PID/status CapEff: include/uapi/linux/capability.h.
_CAPABILITIES: Final = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    text: str
    required: bool = True
    """Whether the agent cannot run without it."""
    advice: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.add_argument(
        "--attach",
        choices=[mode.value for mode in AttachMode],
        default=AttachMode.AUTO.value,
        help="plan with this kind of source only (default: the best that the kernel offers)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 when the agent can run at all, 1 otherwise."""
    plan = make_plan(examine_kernel(), AttachMode(arguments.attach))
    findings = list(examine(plan))
    can_run = plan.can_run and all(finding.good for finding in findings if finding.required)
    if arguments.json:
        json.dump(describe(findings, plan, can_run=can_run), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write("\n".join(render(findings, plan, can_run=can_run)) + "\n")
    return 0 if can_run else 1


def examine(plan: Plan) -> Iterator[Finding]:
    """Look at everything that the agent needs."""
    machine = platform.machine()
    yield Finding(
        "kernel",
        machine in MACHINES,
        f"Linux {platform.release()} on {machine}",
        advice=f"supported machines: {', '.join(MACHINES)}",
    )
    yield _examine_privileges()
    yield _examine_btf()
    offer = plan.offer
    yield Finding("tracefs", not offer.tracepoint, offer.tracefs)
    yield _examine_bcc()
    yield Finding("kprobes", not offer.kprobe, offer.kprobe or "available", required=False)
    yield Finding("fentry", not offer.fentry, offer.fentry or "available", required=False)


def _examine_privileges() -> Finding:
    with open("/proc/self/status") as status:  # noqa: PTH123 # a kernel file, not a path of ours
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    text = f"user id {os.geteuid()}, " + (f"without {', '.join(missing)}" if missing else ", ".join(_CAPABILITIES))
    return Finding("privileges", not missing, text, advice="run as root: sudo pyrover-agent ...")


def _examine_btf() -> Finding:
    try:
        btf = Btf.read(VMLINUX)
    except BtfError as error:
        return Finding(
            "BTF",
            good=False,
            required=False,
            text=f"{error}; the programs need this kernel's headers",
            advice=f"apt-get install linux-headers-{platform.release()}",
        )
    return Finding("BTF", good=True, text=f"{VMLINUX}, {len(btf):,} types", required=False)


def _examine_bcc() -> Finding:
    try:
        return Finding("BCC", good=True, text=f"in {find_interpreter()}")
    except LoaderError as error:
        return Finding("BCC", good=False, text=str(error))


def describe(findings: list[Finding], plan: Plan, *, can_run: bool) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "can_run": can_run,
        "findings": [asdict(finding) for finding in findings],
        "hooks": [
            {
                "name": planned.hook.name,
                "stage": planned.hook.stage.value,
                "source": planned.source.kind.value if planned.source else None,
                "attachments": [asdict(item) for item in planned.source.attachments] if planned.source else [],
                "reasons": {kind.value: reason for kind, reason in planned.reasons.items()},
                "lost": [] if planned.source else list(planned.hook.lost),
            }
            for planned in plan.hooks
        ],
        "lost": list(plan.lost),
    }


def render(findings: list[Finding], plan: Plan, *, can_run: bool) -> Iterator[str]:
    """Lines of plain text, none over 96 columns."""
    yield "This machine"
    for finding in findings:
        mark = "yes" if finding.good else ("NO" if finding.required else "no")
        yield from _entry(finding.name, mark, finding.text)
        if not finding.good and finding.advice:
            yield from _entry("", "", f"-> {finding.advice}")
    yield ""
    attached = sum(planned.is_attached for planned in plan.hooks)
    yield f"Hooks ({attached} of {len(plan.hooks)} have a source)"
    for planned in plan.hooks:
        yield from _render_hook(planned)
    passed_over = list(_passed_over(plan))
    if passed_over:
        yield ""
        yield "Sources passed over"
        for kind, reason, count in passed_over:
            yield from _entry(kind, "", f"{reason} ({count} {'hook' if count == 1 else 'hooks'})")
    yield ""
    if plan.lost:
        yield "Missing from the access logs"
        for lost in plan.lost:
            yield from textwrap.wrap(lost, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
        yield ""
    yield "The agent can run here." if can_run else "The agent cannot run here: see the lines marked NO."


def _entry(name: str, mark: str, text: str) -> Iterator[str]:
    indent = f"  {name:<{_NAME_WIDTH}}{mark:<5}"
    yield from textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))


def _render_hook(planned: PlannedHook) -> Iterator[str]:
    hook = planned.hook
    if planned.source is not None:
        places = ", ".join(item.to.rpartition(":")[2] for item in planned.source.attachments)
        yield from _entry(hook.name, "yes", f"{planned.source.kind.value.replace('_', ' ')} {places}")
        return
    yield from _entry(hook.name, "NO" if hook.required else "no", "no source:")
    for kind, reason in planned.reasons.items():
        yield from _entry("", "", f"{kind.value.replace('_', ' ')}: {reason}")


def _passed_over(plan: Plan) -> Iterator[tuple[str, str, int]]:
    """Sources that attached hooks would have preferred: kind, reason, number of hooks."""
    counts: dict[tuple[str, str], int] = {}
    for planned in plan.hooks:
        if planned.source is not None:
            for kind, reason in planned.reasons.items():
                counts[kind.value, reason] = counts.get((kind.value, reason), 0) + 1
    for (kind_name, reason), count in counts.items():
        yield kind_name, reason, count
