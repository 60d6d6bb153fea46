"""Compile, load and attach the programs with BCC, hand over the kernel objects, exit.

This file is a program of its own. It runs in the distribution's Python, which has BCC, and imports nothing but the
standard library, BCC, and modules of this project that keep to the standard library. The agent starts it (see
`agent.kernel.loader`), writes the request as JSON to its standard input, and receives over the Unix socket whose
descriptor is the first argument: messages of one byte with up to 250 descriptors each. The first descriptor of all is
a memory file with the report as JSON; the others are in the order that the report names.

BCC and LLVM hold about 120 MB; all of it goes when this process does, and the programs stay as long as somebody holds
the descriptors.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DESCRIPTORS_PER_MESSAGE = 250  # the kernel's limit is 253 (SCM_MAX_FD)

sys.path.append(str(Path(__file__).resolve().parents[2]))

from agent.kernel import bpf_maps, bpf_programs, headers, return_probes, subprograms, tracefs  # noqa: E402 # the path above comes first
from agent.kernel.btf import Btf, BtfError  # noqa: E402 # same
from agent.kernel.objects import CompiledObject, Function, ObjectFolder, digest  # noqa: E402 # same

PROGRAM_TYPES = {
    "kprobe": bpf_programs.TYPE_KPROBE,
    "tracepoint": bpf_programs.TYPE_TRACEPOINT,
    "raw_tracepoint": bpf_programs.TYPE_RAW_TRACEPOINT,
    "uprobe": bpf_programs.TYPE_KPROBE,
    "fentry": bpf_programs.TYPE_TRACING,
}


class ChildError(Exception):
    """Nothing could be loaded. `advice` says what to do about it."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


class Messages:
    """What the compiler and the verifier print: BCC's C++ writes it to standard error."""

    def __init__(self) -> None:
        self._file = os.memfd_create("pyrover-messages")  # lives as long as this process
        os.dup2(self._file, 2)

    def take(self) -> str:
        """What was printed since the last call."""
        sys.stderr.flush()
        size = os.fstat(self._file).st_size
        text = os.pread(self._file, size, 0).decode(errors="replace")
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        return text.strip()


@contextlib.contextmanager
def measured(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block took."""
    begin = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - begin, 4)


def import_bcc() -> Any:  # noqa: ANN401 # BCC ships no type information
    """The package of the real BCC."""
    try:
        import bcc  # noqa: PLC0415 # after the environment is complete
    except ImportError as error:
        raise ChildError(
            f"{sys.executable} cannot import bcc: {error}",
            "install the distribution's package: apt-get install python3-bpfcc",
        ) from error
    return bcc


def kernel_structs(request: dict[str, Any], root: Path) -> tuple[str, str]:
    """The C text that declares the kernel's structs, and in words where it comes from."""
    try:
        btf = Btf.read(Path(request["btf"]))
    except BtfError as error:
        build = Path("/lib/modules") / os.uname().release / "build"
        if not build.exists() and not Path("/sys/kernel/kheaders.tar.xz").exists():
            raise ChildError(
                f"this kernel does not describe itself ({error}), and its headers are not installed",
                f"install them: apt-get install linux-headers-{os.uname().release}",
            ) from error
        return headers.KERNEL_INCLUDES, f"kernel headers, because {error}"
    text = headers.render_views(btf)
    headers.write_tree(root, os.uname().machine, os.uname().release, os.sysconf("SC_PAGE_SIZE"))
    os.environ["BCC_KERNEL_SOURCE"] = str(root)
    return text, f"BTF ({request['btf']})"


def compose(request: dict[str, Any], structs: str) -> str:
    """One C text of everything, with the names of the files for the compiler's messages."""
    defines = request["defines"] | subprograms.defines()
    parts = [f"#define {name} {value}" for name, value in defines.items()]
    for name, text in [["kernel structs", structs], *request["sources"]]:
        parts += [f'#line 1 "{name}"', text]
    return "\n".join(parts) + "\n"


class Attacher:
    """Attaches programs, each in its way; every method returns a descriptor, or a negative number.

    BCC's methods for it keep one program per place; two of ours may share one.
    """

    def __init__(self, library: Any, request: dict[str, Any]) -> None:  # noqa: ANN401 # BCC ships no type information
        self._library = library
        group = request["return_probes"]
        self._return_probes = return_probes.ReturnProbes(tracefs.Tracefs(), group) if group else None

    def attach(self, descriptor: int, program: dict[str, Any], place: str) -> int:
        """Attach one program to one place."""
        if program["kind"] == "fentry":
            return int(self._library.bpf_attach_kfunc(descriptor))
        if program["kind"] == "raw_tracepoint":
            return int(self._library.bpf_attach_raw_tracepoint(descriptor, place.encode()))
        if program["kind"] == "tracepoint":
            category, _, event = place.partition(":")
            return self._attach_tracepoint(descriptor, category, event)
        if program["at_return"]:
            return self._attach_at_return(descriptor, place, sleeps=program["sleeps"])
        return self._attach_kprobe(descriptor, place, at_return=False)

    def _attach_tracepoint(self, descriptor: int, category: str, event: str) -> int:
        return int(self._library.bpf_attach_tracepoint(descriptor, category.encode(), event.encode()))

    def _attach_kprobe(self, descriptor: int, function: str, *, at_return: bool) -> int:
        name = f"pyrover_{os.getpid()}_{function}".encode()  # used by kernels that make probes in tracefs only
        return int(self._library.bpf_attach_kprobe(descriptor, int(at_return), name, function.encode(), 0, 0))

    def _attach_at_return(self, descriptor: int, function: str, *, sleeps: bool) -> int:
        if self._return_probes is not None:
            most_inside = return_probes.MOST_INSIDE_SLEEPING if sleeps else return_probes.MOST_INSIDE
            with contextlib.suppress(OSError):
                name = self._return_probes.create(function, most_inside)
                attached = self._attach_tracepoint(descriptor, self._return_probes.group, name)
                if attached >= 0:
                    return attached
        return self._attach_kprobe(descriptor, function, at_return=True)


def compile_text(
    bcc: Any,  # noqa: ANN401 # BCC ships no type information
    text: str,
    names: list[str],
    messages: Messages,
    structs_from: str,
) -> CompiledObject:
    """Compile a text with the functions `names`."""
    try:
        bpf = bcc.BPF(text=text.encode(), cflags=["-Wno-unused-function"])
    except Exception as error:
        raise ChildError(
            f"the programs do not compile for this kernel ({structs_from}):\n{messages.take() or error}",
            "please report this with the output of: pyrover-agent doctor",
        ) from error
    name_of = bcc.lib.bpf_table_name  # BCC itself does not use it, and so does not declare it
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_size_t]
    maps, descriptors = {}, {}
    for number in range(bcc.lib.bpf_num_tables(bpf.module)):
        name = name_of(bpf.module, number).decode()
        descriptor = bcc.lib.bpf_table_fd_id(bpf.module, number)
        maps[name] = dataclasses.replace(bpf_maps.map_information(descriptor), name=name)  # the kernel cuts it off
        descriptors[descriptor] = name
    functions = {name: Function.of(bpf.dump_func(name.encode()), descriptors) for name in names}
    return CompiledObject(maps, functions)


def load_programs(
    compiled: CompiledObject,
    maps: dict[str, int],
    attacher: Attacher,
    request: dict[str, Any],
    messages: Messages,
) -> tuple[list[Any], list[Any], list[int]]:
    """Load and attach each program by itself: what is refused is reported, the others stay."""
    names: list[Any] = []
    refused: list[Any] = []
    descriptors: list[int] = []
    called = {name: compiled.functions[name].bound_to(maps) for name in subprograms.SUBPROGRAMS}
    types = bpf_programs.load_types(subprograms.describe())
    for number, program in enumerate(request["programs"]):
        linked = subprograms.link(compiled.functions[program["name"]].bound_to(maps), called)
        try:
            loaded = bpf_programs.load_program(
                PROGRAM_TYPES[program["kind"]],
                program["name"],
                linked.instructions,
                function_id=program["function"],
                at_return=program["at_return"],
                attach_type=bpf_programs.ATTACH_UPROBE_MULTI if program["kind"] == "uprobe" else 0,
                functions=bpf_programs.Functions(types, linked.functions) if linked.functions else None,
            )
        except OSError as error:
            reason = f"the kernel did not load {program['name']}: {error.strerror}"
            refused += [[number, place, reason] for place in range(len(program["places"]))]
            continue
        names.append(["program", number, None])
        descriptors.append(loaded)
        if program["kind"] == "uprobe":
            continue  # the agent attaches it, to each library and program that comes to be used
        for position, place in enumerate(program["places"]):
            descriptor = attacher.attach(loaded, program, place)
            if descriptor < 0:
                reason = f"the kernel did not attach {program['name']} to {place}\n{messages.take()}"
                refused.append([number, position, reason.strip()])
                continue
            names.append(["attachment", number, position])
            descriptors.append(descriptor)
    return names, refused, descriptors


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder for the headers that the compiler is to find."""
    try:
        return tempfile.TemporaryDirectory(prefix="pyrover-")
    except OSError as error:
        raise ChildError(
            f"the kernel's structs cannot be written down for the compiler: {error.strerror}",
            "give it a /tmp that it may write to: PrivateTmp=yes in a unit, an emptyDir in a pod",
        ) from error


def work(request: dict[str, Any], messages: Messages) -> tuple[dict[str, Any], list[int]]:
    """Do what the request says; the report and the descriptors that it names."""
    seconds: dict[str, float] = {}
    with scratch() as root:
        try:
            tracefs.mount_privately()
            with measured(seconds, "structs"):
                structs, structs_from = kernel_structs(request, Path(root))
        except (tracefs.TracefsError, headers.HeadersError) as error:
            raise ChildError(str(error)) from error
        with measured(seconds, "import"):
            bcc = import_bcc()
        text = compose(request, structs)
        folder = ObjectFolder(Path(request["objects"]) if request["objects"] else None)
        name = digest(text, bcc.__version__)
        with measured(seconds, "compile"):
            compiled = folder.find(name)
            if compiled is None:
                names = [*request["functions"], *subprograms.SUBPROGRAMS]
                compiled = compile_text(bcc, text, names, messages, structs_from)
                folder.keep(name, compiled)
        with measured(seconds, "load"):
            maps = compiled.create_maps(request["entries"])
            attacher = Attacher(bcc.lib, request)
            names, refused, descriptors = load_programs(compiled, maps, attacher, request, messages)
    named = [["map", name, None] for name in request["maps"]]
    descriptors = [maps[name] for name in request["maps"]] + descriptors
    report = {
        "descriptors": named + names,
        "refused": refused,
        "structs_from": structs_from,
        "seconds": seconds,
        "interpreter": sys.executable,
        "messages": messages.take(),
    }
    return report, descriptors


def send(channel: socket.socket, report: dict[str, Any], descriptors: list[int]) -> None:
    """Hand over the report and the descriptors."""
    memory = os.memfd_create("report")
    with os.fdopen(os.dup(memory), "w") as file:
        json.dump(report, file)
    everything = [memory, *descriptors]
    for first in range(0, len(everything), DESCRIPTORS_PER_MESSAGE):
        socket.send_fds(channel, [b"+"], everything[first : first + DESCRIPTORS_PER_MESSAGE])


def main() -> None:
    """Serve one request."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    messages = Messages()
    descriptors: list[int] = []
    try:
        report, descriptors = work(json.load(sys.stdin), messages)
    except ChildError as error:
        report = {"error": str(error), "advice": error.advice}
    except Exception as error:  # noqa: BLE001 # whatever it was, the parent must hear of it
        report = {"error": f"{type(error).__name__}: {error}\n{messages.take()}".strip(), "advice": ""}
    send(channel, report, descriptors)
    os._exit(0)  # BCC detaches everything in an exit handler: skip it


if __name__ == "__main__":
    main()
