"""Start the loader child, give it the programs, receive the kernel objects.

The agent's own interpreter need not have BCC, and never loads it: see `agent.kernel.loader_child`.
"""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from agent.events.layout import c_layout_assertions
from agent.kernel.btf import VMLINUX, Function
from agent.kernel.hook import FUNCTION_KINDS, Attachment, SourceKind
from agent.kernel.loader_options import SECONDS, Options
from agent.kernel.plan import Plan, Refused
from agent.kernel.return_probes import ReturnProbes
from agent.kernel.tracefs import Tracefs, TracefsError
from agent.kernel.wrappers import Program, render_programs, render_text

SOURCES: Final = (
    "subprograms.h",
    "events.h",
    "payload.h",
    "tls.h",
    "wakeups.h",
    "maps.h",
    "sockets.h",
    "mapped_files.c",
    "stages_waiting.h",
    "stages.h",
    "stages_report.c",
    "connect.c",
    "listen.c",
    "accept.c",
    "close.c",
    "payload_records.c",
    "payload_detect.c",
    "payload_plan.c",
    "payload_steps.c",
    "payload.c",
    "tls_sessions.c",
    "tls_plaintext.c",
    "tls_libraries.c",
    "tls_go.c",
    "transfer.c",
    "transfer_messages.c",
    "transfer_calls.c",
    "stages_frames.h",
    "stages_send.c",
    "stages_network.c",
    "stages_device.c",
    "stages_arrivals.h",
    "stages_arrive.c",
    "stages_receive.c",
    "stages_drop.c",
    "process.c",
)
"""Files of bpf/, in the order in which they are compiled as one text."""

PROGRAMS_FOLDER: Final = Path(__file__).resolve().parents[2] / "bpf"
CHILD: Final = Path(__file__).with_name("loader_child.py")

_groups: Final = itertools.count()
_INTERPRETERS: Final = ("/usr/bin/python3", "python3")
_HAS_BCC: Final = "import bcc; bcc.BPF"


class LoaderError(Exception):
    """Nothing was loaded. The message says why and what to do."""


@dataclass(frozen=True)
class Loaded:
    """The kernel objects, each by a descriptor that the receiver owns."""

    maps: Mapping[str, int]
    programs: Mapping[Program, int]
    attachments: Mapping[tuple[SourceKind, Attachment], int]
    refused: Refused
    structs_from: str
    """Where the layout of the kernel's structs came from."""
    interpreter: str
    seconds: Mapping[str, float]
    """What the child spent on its parts."""
    messages: str
    """What the compiler said, if anything."""
    return_probes: ReturnProbes | None
    """Made in tracefs, to be removed in the end."""

    def close(self) -> None:
        """Close every descriptor: the programs are detached and everything is freed."""
        for descriptor in (*self.attachments.values(), *self.programs.values(), *self.maps.values()):
            os.close(descriptor)
        if self.return_probes:
            self.return_probes.close()


def find_interpreter() -> str:
    """The first Python that can import BCC with a class BPF.

    Raises:
        LoaderError: There is none.
    """
    tried = []
    for name in _INTERPRETERS:
        path = shutil.which(name)
        if path is None or path in tried:
            continue
        tried.append(path)
        if _has_bcc(path):
            return path
    raise LoaderError(
        f"no Python with BCC found (tried {', '.join(tried) or 'none'});"
        " install the distribution's package: apt-get install python3-bpfcc"
        " (the package named bcc on PyPI is something else)"
    )


def _has_bcc(interpreter: str) -> bool:
    """Whether a Python can import BCC; not, when it does not even run or come to an end."""
    try:
        answer = subprocess.run(
            [interpreter, "-I", "-c", _HAS_BCC],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def load(plan: Plan, options: Options) -> Loaded:
    """Compile, load and attach what the plan chose.

    Raises:
        LoaderError: Nothing could be loaded.
        ValueError: An option is out of range.
    """
    if not plan.can_run:
        raise LoaderError("nothing can be attached to this kernel:\n" + "\n".join(plan.obstacles))
    entries = options.entries()
    functions = plan.offer.functions
    compiled = render_programs(plan.compiled, {name: function.parameters for name, function in functions.items()})
    programs = _wanted(compiled, frozenset(plan.attachments))
    defines = options.defines() | {f"HOOK_{planned.hook.name}": "1" for planned in plan.hooks if planned.is_attached}
    with contextlib.ExitStack() as stack:
        return_probes = _return_probes(programs)
        if return_probes:
            stack.callback(return_probes.close)
        request = {
            "sources": [
                *([f"bpf/{name}", (PROGRAMS_FOLDER / name).read_text()] for name in SOURCES),
                ["programs", render_text(compiled)],
                ["layout of struct event", c_layout_assertions()],
            ],
            "defines": defines,
            "entries": entries,
            "objects": str(options.objects or ""),
            "functions": [program.name for program in compiled],
            "programs": [_describe(program, functions) for program in programs],
            "return_probes": return_probes.group if return_probes else "",
            "maps": ["counters", "sleeper", "mapping_numbers", *entries],
            "btf": str(VMLINUX),
        }
        report, descriptors = _run_child(find_interpreter(), request, options.seconds)
        stack.pop_all()
    return _sort(report, descriptors, programs, return_probes)


def _wanted(programs: Iterable[Program], attachments: frozenset[tuple[SourceKind, Attachment]]) -> tuple[Program, ...]:
    """What is to be loaded of the programs, with the places that it is to be attached to."""
    kept = (
        replace(
            program, attachments=tuple(place for place in program.attachments if (program.kind, place) in attachments)
        )
        for program in programs
    )
    return tuple(program for program in kept if program.attachments)


def _return_probes(programs: Iterable[Program]) -> ReturnProbes | None:
    """A new group, when there is anything to put into it and tracefs can be reached."""
    if not any(program.kind is SourceKind.KPROBE and program.at_return for program in programs):
        return None
    try:
        return_probes = ReturnProbes(Tracefs(), f"pyrover_{os.getpid()}_{next(_groups)}")
    except TracefsError:
        return None
    return_probes.remove_stale()
    return return_probes


def _describe(program: Program, functions: Mapping[str, Function]) -> dict[str, Any]:
    """What the child is told of a program."""
    by_function = program.kind in FUNCTION_KINDS
    places = [attachment.function if by_function else attachment.to for attachment in program.attachments]
    return {
        "name": program.name,
        "kind": program.kind.value,
        "at_return": program.at_return,
        "places": places,
        "sleeps": any(attachment.sleeps for attachment in program.attachments),
        "function": functions[places[0]].type_id if program.kind is SourceKind.FENTRY else 0,
    }


def _sort(
    report: dict[str, Any], descriptors: list[int], programs: tuple[Program, ...], return_probes: ReturnProbes | None
) -> Loaded:
    maps: dict[str, int] = {}
    loaded: dict[Program, int] = {}
    attachments: dict[tuple[SourceKind, Attachment], int] = {}
    for (kind, name, place), descriptor in zip(report["descriptors"], descriptors, strict=True):
        if kind == "map":
            maps[name] = descriptor
        elif kind == "program":
            loaded[programs[name]] = descriptor
        else:
            attachments[programs[name].kind, programs[name].attachments[place]] = descriptor
    return Loaded(
        maps=maps,
        programs=loaded,
        attachments=attachments,
        refused={
            (programs[name].kind, programs[name].attachments[place]): reason
            for name, place, reason in report["refused"]
        },
        structs_from=report["structs_from"],
        interpreter=report["interpreter"],
        seconds=report["seconds"],
        messages=report["messages"],
        return_probes=return_probes,
    )


def _run_child(interpreter: str, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], list[int]]:
    """Run the child to its end; its report and the descriptors that the report names."""
    deadline = time.monotonic() + seconds
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, _memory() as standard_input, _memory() as standard_error:
        standard_input.write(json.dumps(request).encode())
        standard_input.seek(0)
        with theirs:
            child = subprocess.Popen(
                [interpreter, "-I", str(CHILD), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=standard_input,
                stdout=standard_error,
                stderr=standard_error,
            )
        descriptors: list[int] = []
        try:
            descriptors.extend(_receive(ours, deadline))
            status = child.wait(timeout=max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            _close(descriptors)
            raise LoaderError(f"the loader did not finish within {seconds:g} s and was ended") from None
        except BaseException:
            _close(descriptors)
            raise
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        standard_error.seek(0)
        printed = standard_error.read().decode(errors="replace").strip()
    if not descriptors:
        raise LoaderError(f"the loader ended with status {status} and no report: {printed or 'it printed nothing'}")
    with os.fdopen(descriptors[0], "rb") as file:
        file.seek(0)
        report: dict[str, Any] = json.load(file)
    if "error" in report:
        _close(descriptors[1:])
        advice = f"\n{report['advice']}" if report["advice"] else ""
        raise LoaderError(report["error"] + advice)
    return report, descriptors[1:]


def _memory() -> BinaryIO:
    """A file without a folder: the agent may have none that it may write to."""
    return os.fdopen(os.memfd_create("pyrover-loader"), "w+b")


def _receive(channel: socket.socket, deadline: float) -> Iterator[int]:
    while True:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        data, descriptors, flags, _ = socket.recv_fds(channel, 1, 253)
        yield from descriptors
        if flags & socket.MSG_CTRUNC:
            raise LoaderError("descriptors from the loader were lost; raise the limit on open files (ulimit -n)")
        if not data:
            return


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
