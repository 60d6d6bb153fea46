"""Real and imitated TLS libraries under the real programs: what their plain text is told to be."""

import contextlib
import ctypes
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agent.events.fragments import Fragment, FragmentFlag
from agent.events.layout import EventKind
from agent.kernel.source import KernelSource
from agent.tls.mappings import identify
from agent.tls.watcher import TlsWatcher
from tests.waiting import PATIENCE, until

_Result = TypeVar("_Result")


@contextlib.contextmanager
def loaded(path: Path) -> Iterator[None]:
    """A library in the memory of this process."""
    library = ctypes.CDLL(str(path))
    try:
        yield
    finally:
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


def in_a_thread(work: Callable[[], _Result]) -> _Result:
    """Do something in a thread that has called no TLS library yet."""
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 # raised again where somebody waits
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def until_ended(threads: list[threading.Thread]) -> None:
    """Wait until the kernel knows no more of some threads; Python takes them for ended a moment before."""
    for thread in threads:
        thread.join()
    until(lambda: not any(Path(f"/proc/self/task/{thread.native_id}").exists() for thread in threads))


@dataclass(frozen=True)
class Call:
    """One call that moved plain text."""

    inode: int
    session: int
    kind: EventKind
    position: int
    size: int
    begins: bytes
    """The first bytes that were captured."""


def calls_of(fragments: list[Fragment]) -> list[Call]:
    """The calls of TLS libraries that fragments tell of, in order."""
    found: list[Call] = []
    first: dict[tuple[int, int], bytes] = {}  # of the call that a thread is telling of; those of others come in between
    for fragment in fragments:
        if not fragment.session:
            continue
        teller = fragment.thread, fragment.start_ns
        begins = first.pop(teller, b"") or fragment.data
        if fragment.flags & FragmentFlag.LAST:
            kind = EventKind(fragment.kind)
            found.append(Call(fragment.inode, fragment.session, kind, fragment.position, fragment.call_bytes, begins))
        else:
            first[teller] = begins
    return found


@dataclass
class Run:
    """A program that has ended: what it said, what the kernel said about it."""

    process: int
    said: str
    calls: list[Call]
    local_port: dict[int, int]
    """By socket inode."""

    @property
    def account(self) -> Any:  # noqa: ANN401 # whatever the program counted
        return json.loads(self.said)

    def count(self, kind: EventKind, begin: bytes = b"") -> int:
        return sum(call.kind is kind and call.begins.startswith(begin) for call in self.calls)

    def bytes(self, kind: EventKind) -> int:
        return sum(call.size for call in self.calls if call.kind is kind)


class TlsWatch:
    """A source that sees nothing but what is started here, and its probes."""

    def __init__(self, source: KernelSource, watcher: TlsWatcher) -> None:
        self.source = source
        self.watcher = watcher

    def until_attached(self, path: Path) -> None:
        identity, _ = identify(str(path))
        until(lambda: identity in self.watcher.attached)

    def review(self) -> None:
        """Have everything looked at once more, from beginning to end."""
        for _ in range(2):  # the first one may have begun before
            before = self.watcher.reviews  # before it is asked for: it may be over at once
            self.watcher.review()
            until(lambda before=before: self.watcher.reviews > before)  # type: ignore[misc] # a default binds it

    @contextlib.contextmanager
    def started(self, *command: str | Path, **options: Any) -> Iterator["subprocess.Popen[str]"]:  # noqa: ANN401 # as Popen
        """A program that is watched from its first instruction on."""
        shell = ["sh", "-c", 'read -r go && exec "$@"', "sh", *map(str, command)]
        with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as child:
            assert child.stdin is not None
            self.source.choose(child.pid)
            child.stdin.write("go\n")
            child.stdin.flush()
            yield child

    def run(self, *command: str | Path, **options: Any) -> Run:  # noqa: ANN401 # as Popen
        """Run a program to its end."""
        with self.started(*command, **options) as child:
            said, _ = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0
        return self.ended(child.pid, said)

    def ended(self, process: int, said: str = "") -> Run:
        """Everything about a process that has ended."""
        ports: dict[int, int] = {}
        fragments: list[Fragment] = []
        is_over = False

        def take() -> bool:
            nonlocal is_over
            events = self.source.take()
            events = events[events["process"] == process]
            fragments.extend(self.source.take_payload())
            for event in events[events["inode"] != 0]:
                ports[int(event["inode"])] = int(event["local_port"]) or ports.get(int(event["inode"]), 0)
            is_over |= bool(np.any(events["kind"] == EventKind.PROCESS_EXIT))
            return is_over

        until(take)
        return Run(process, said, calls_of([one for one in fragments if one.process == process]), ports)

    def here(self, work: Callable[[], _Result]) -> tuple[_Result, list[Call]]:
        """What is told of something that a new thread of this process does."""
        self.source.take()
        self.source.take_payload()
        result = in_a_thread(work)
        self.source.take()
        return result, calls_of([one for one in self.source.take_payload() if one.process == os.getpid()])
