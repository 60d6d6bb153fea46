"""`pyrover-agent doctor`: what this machine offers, what the agent would watch, what it would miss."""

import argparse
import json
import os
import platform
import sys
import textwrap
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agent.commands.arguments import configuration
from agent.commands.capture import fail
from agent.commands.missing import PLAIN_WIDTH, listed, width_of
from agent.config_reading import ConfigurationError
from agent.conntrack.examination import examine_conntrack
from agent.kernel.btf import VMLINUX, Btf, BtfError
from agent.kernel.headers import MACHINES
from agent.kernel.loader import LoaderError, find_interpreter
from agent.kernel.plan import AttachMode, Plan, PlannedHook, examine_kernel, make_plan
from agent.kernel.privileges import CAPABILITIES, closed_perf_events, missing_capabilities, obstacles
from agent.kernel.source import KernelSource
from agent.tls.examination import examine_file_systems

_NAME_WIDTH: Final = 19
_TRIAL_RING_BYTES: Final = 1 << 16
_NAMES_SHOWN: Final = 4
_REASON_LINES: Final = 6


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
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's configuration, as for run")
    parser.add_argument(
        "--attach",
        choices=[mode.value for mode in AttachMode],
        help="kind of kernel hooks to plan with (default: auto, the best that this kernel offers)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 when the agent can run at all, 1 otherwise."""
    try:
        kernel = configuration(arguments).kernel
    except ConfigurationError as error:
        return fail(str(error))
    plan, trial = try_programs(AttachMode(kernel.attach), kernel.unavailable_hooks)
    findings = [*examine(plan), trial]
    can_run = plan.can_run and all(finding.good for finding in findings if finding.required)
    if arguments.json:
        json.dump(describe(findings, plan, can_run=can_run), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        lines = render(findings, plan, can_run=can_run, width=width_of(sys.stdout))
        sys.stdout.write("\n".join(lines) + "\n")
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
    yield from _examine_privileges()
    yield _examine_btf()
    offer = plan.offer
    yield Finding("tracefs", not offer.tracepoint, offer.tracefs)
    yield _examine_bcc()
    yield Finding("kprobes", not offer.kprobe, offer.kprobe or "available", required=False)
    yield Finding("fentry", not offer.fentry, offer.fentry or "available", required=False)
    yield Finding("uprobes", not offer.uprobe, offer.uprobe or "available", required=False)
    conntrack = examine_conntrack()
    yield Finding("conntrack", conntrack.good, conntrack.text, required=False, advice=conntrack.advice)
    yield _examine_file_systems()


def try_programs(mode: AttachMode, unavailable: Collection[str]) -> tuple[Plan, Finding]:
    """Load and attach everything for a moment, watching no process: what the kernel then refuses is seen here."""
    begin = time.monotonic()
    try:
        with KernelSource.open(
            attach=mode, only_processes=(), ring_bytes=_TRIAL_RING_BYTES, unavailable=unavailable
        ) as source:
            text = f"{len(source.loaded.programs)} loaded with structs from {source.loaded.structs_from}"
            return source.coverage, Finding("programs", good=True, text=f"{text} in {time.monotonic() - begin:.1f} s")
    except LoaderError as error:
        return make_plan(examine_kernel(), mode, unavailable=unavailable), Finding(
            "programs", good=False, text=str(error)
        )


def _examine_privileges() -> Iterator[Finding]:
    missing = missing_capabilities()
    prevent = obstacles(missing)
    names = ", ".join(
        capability.name for capability in (prevent or CAPABILITIES) if prevent or capability not in missing
    )
    text = f"user id {os.geteuid()}, " + (f"without {names}" if prevent else names)
    yield Finding(
        "privileges", not prevent, text, advice="run it as root (sudo pyrover-agent ...), or give it these capabilities"
    )
    for capability in missing:
        if not capability.required:
            yield Finding(
                "capability",
                good=False,
                required=False,
                text=f"without {capability.name}: {capability.lost}",
                advice=f"give it {capability.name}, to {capability.use}",
            )
    level = closed_perf_events(missing)
    if level is not None:
        yield Finding(
            "perf events",
            good=False,
            required=False,
            text=f"kernel.perf_event_paranoid is {level}: without CAP_SYS_ADMIN no kprobe and no tracepoint can be"
            " attached, nor, before Linux 6.6, what reads the plain text of TLS",
            advice="sysctl kernel.perf_event_paranoid=2, or give it CAP_SYS_ADMIN",
        )


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


def _examine_file_systems() -> Finding:
    doubtful = examine_file_systems()
    if not doubtful:
        return Finding("file systems", good=True, text="all that programs are run from answer at once", required=False)
    lines = [f"{one.name}: {one.processes:,} process{'es' * (one.processes != 1)}" for one in doubtful[:_NAMES_SHOWN]]
    if len(doubtful) > _NAMES_SHOWN:
        lines.append(f"and {len(doubtful) - _NAMES_SHOWN} more")
    return Finding(
        "file systems",
        good=False,
        text="programs are run from file systems that may not answer:\n" + "\n".join(lines),
        required=False,
        advice="the agent has such files read by another process; while one of these file systems does not answer, the"
        " plain text of TLS of programs and libraries that come into use there is not read (docs/tls.md)",
    )


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


def render(findings: list[Finding], plan: Plan, *, can_run: bool, width: int = PLAIN_WIDTH) -> Iterator[str]:
    """Lines of plain text, none over `width` characters."""
    yield "This machine"
    for finding in findings:
        mark = "yes" if finding.good else ("NO" if finding.required else "no")
        yield from _entry(finding.name, mark, finding.text, width)
        if not finding.good and finding.advice:
            yield from _entry("", "", f"-> {finding.advice}", width)
    yield ""
    attached = sum(planned.is_attached for planned in plan.hooks)
    yield f"Hooks ({attached} of {len(plan.hooks)} have a source)"
    for planned in plan.hooks:
        yield from _render_hook(planned, width)
    not_used = _not_used(plan)
    if not_used:
        yield ""
        yield "Sources not used, and why"
        for (kind, reason), names in not_used.items():
            hooks = ", ".join(names) if len(names) <= _NAMES_SHOWN else f"{len(names)} hooks"
            yield from _entry(kind, "", f"{_shortened(reason)} ({hooks})", width)
    yield ""
    if plan.lost:
        yield "Missing from the access logs"
        yield from listed(plan.lost, width)
        yield ""
    yield "The agent can run here." if can_run else "The agent cannot run here: see the lines marked NO."


def _entry(name: str, mark: str, text: str, width: int) -> Iterator[str]:
    indent = f"  {name:<{_NAME_WIDTH - 1}} {mark:<5}"
    for line in text.splitlines():
        yield from textwrap.wrap(line, width, initial_indent=indent, subsequent_indent=" " * len(indent))
        indent = " " * len(indent)


def _render_hook(planned: PlannedHook, width: int) -> Iterator[str]:
    if planned.source is None:
        yield from _entry(planned.hook.name, "NO" if planned.hook.required else "no", "no source", width)
        return
    places = ", ".join(place.rpartition(":")[2] for place in planned.source.places)
    yield from _entry(planned.hook.name, "yes", f"{planned.source.kind.value.replace('_', ' ')} {places}", width)


def _not_used(plan: Plan) -> dict[tuple[str, str], list[str]]:
    """Names of hooks by the kind of source that they do not use and the reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for planned in plan.hooks:
        for kind, reason in planned.reasons.items():
            found.setdefault((kind.value.replace("_", " "), reason), []).append(planned.hook.name)
    return found


def _shortened(reason: str) -> str:
    """The verifier explains itself at length; its last lines say what it did not like. The rest is in --json."""
    lines = reason.splitlines()
    if len(lines) <= _REASON_LINES:
        return reason
    return "\n".join([lines[0], "...", *lines[2 - _REASON_LINES :]])
