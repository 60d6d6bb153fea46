"""Keeps the probes in step with the processes, in a thread of its own: examining a large program takes a while.

At start the files of all processes are examined, then each that a process begins to run code from and that was not
looked at before. A probe belongs to a file, so processes that run a file with probes are watched from their first
instruction on. Now and then everything is looked at again, and soon where a file found no room: files that nobody runs
any more lose their probes, and what was not heard of is found.
"""

import contextlib
import math
import os
import resource
import select
import threading
import time
from collections.abc import Mapping
from typing import Final

from agent.kernel.uprobes import Uprobes
from agent.kernel.wrappers import Program
from agent.tls.abandoned_calls import AbandonedCalls
from agent.tls.attachments import LIBRARIES, Attached, Attacher
from agent.tls.files import PATIENCE_SECONDS, Files
from agent.tls.mapped_files import MappedFiles, NewMapping
from agent.tls.mappings import Identity, mapped_files, processes

REVIEW_SECONDS: Final = 300.0
"""How often everything is looked at again."""
SCAN_SECONDS: Final = 5.0
"""Same, where the kernel does not tell of new mappings."""
SILENCE_SECONDS: Final = 5.0
"""How often it is asked whether a file system is back that did not answer."""
CLOSE_SECONDS: Final = 20.0
"""How long the end waits for the thread, which may be waiting for a file system itself."""


class TlsWatcher:
    """Attaches the programs that see plain text, wherever it goes in and comes out. `start` it, and `close` it."""

    def __init__(
        self,
        programs: Mapping[Program, int],
        root: str = "/proc",
        *,
        maps: Mapping[str, int] | None = None,
        capacity: int = LIBRARIES,
        attacher: Attacher | None = None,
        review_seconds: float = REVIEW_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        abandoned_calls: AbandonedCalls | None = None,
    ) -> None:
        """Prepare.

        Args:
            programs: Loaded programs by their descriptors, which must stay open.
            root: Where /proc is.
            maps: Their maps, where they tell of new mappings; None where they do not.
            capacity: Files that may have probes at the same time.
            attacher: What puts the probes in place; the kernel, unless something else is given.
            review_seconds: See `REVIEW_SECONDS`.
            patience_seconds: See `agent.tls.files.PATIENCE_SECONDS`.
            abandoned_calls: Of Go programs, to be forgotten when everything is looked at.

        Raises:
            OSError: The kernel has no uprobes.
        """
        self._root = root
        self._end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._files = Files(
            programs,
            root,
            capacity=capacity,
            attacher=attacher or Uprobes(),
            patience_seconds=patience_seconds,
            end=self._end,
        )
        self._review_seconds = review_seconds
        self._abandoned_calls = abandoned_calls
        self._mapped = MappedFiles.open(maps) if maps is not None else None
        self._lost = 0
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closing = False
        self.reviews = 0
        """Times that everything was looked at."""
        self._thread = threading.Thread(target=self._run, name="tls", daemon=True)

    def start(self) -> None:
        """Begin: attach to what runs, then to what comes."""
        _raise_descriptor_limit()
        self._thread.start()

    def close(self) -> None:
        """End the thread, and take every probe off.

        A thread that the kernel does not let go of is left behind, with its descriptors.
        """
        self._closing = True
        os.eventfd_write(self._end, 1)
        self.review()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        self._files.forget(self._files.attached)
        if self._thread.is_alive():
            return
        self._files.examiner.close()
        if self._mapped:
            with contextlib.suppress(OSError):
                self._mapped.close()
        for descriptor in (self._end, self._wake_reader, self._wake_writer):
            os.close(descriptor)

    def review(self) -> None:
        """Look at everything again, soon."""
        with contextlib.suppress(BlockingIOError):  # then it is about to
            os.write(self._wake_writer, b"\0")

    @property
    def attached(self) -> dict[Identity, Attached]:
        """The files that have probes at the moment."""
        return self._files.attached

    def failures(self) -> dict[str, int]:
        """What could not be watched, by cause, since the start."""
        failures = self._files.failures()
        if self._lost:
            failures["mappings that the kernel did not tell"] = self._lost
        if self._mapped is None:
            failures["the kernel does not tell of new mappings"] = 1
        return {f"TLS: {cause}": count for cause, count in failures.items()}

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        if self._mapped:
            poll.register(self._mapped.descriptor, select.POLLIN)
        period = self._review_seconds if self._mapped else min(SCAN_SECONDS, self._review_seconds)
        due = 0.0
        while not self._closing:
            if time.monotonic() >= min(due, self._files.shortage.due):
                self._review()
                due = time.monotonic() + period
            silence = SILENCE_SECONDS if self._files.examiner.held else math.inf
            next_look = min(due, self._files.shortage.due, time.monotonic() + silence)
            ready = poll.poll(max(0.0, next_look - time.monotonic()) * 1000)
            if any(descriptor == self._wake_reader for descriptor, _ in ready):
                os.read(self._wake_reader, 4096)
                due = 0.0
            if self._files.come_back():
                due = 0.0
            self._take_mappings()

    def _take_mappings(self) -> None:
        if self._mapped is None:
            return
        known: set[bytes] = set()
        for mapping in self._mapped.take():
            if mapping.version not in known and not self._closing and self._consider(mapping):
                known.add(mapping.version)
                with contextlib.suppress(OSError):  # then it is told again
                    self._mapped.know(mapping)
        lost = self._mapped.lost
        if lost != self._lost:
            self._lost = lost
            self.review()

    def _consider(self, mapping: NewMapping) -> bool:
        """Look at a file that was mapped; False when it is there no more, so that it had better be told again."""
        process, there = mapping.process, list(mapped_files(self._root, mapping.process))
        for mapped in there:
            if (mapped.inode, mapped.device) == (mapping.inode, mapping.device):
                return self._files.consider(process, mapped)
        # Linux before 6.8 lists the files of an overlay with the numbers that they have in the layers below it.
        considered = [mapped for mapped in there if self._files.consider(process, mapped)]
        return any(self._files.version(process, mapped) == mapping.content for mapped in considered)

    def _review(self) -> None:
        """Look at every file that a process runs code from; let go of those that none does."""
        made_room = self._look()
        if made_room and self._files.shortage.is_noted:
            self._look()  # for what found none
        self._files.shortage.looked(time.monotonic(), made_room=made_room)
        self._forget_calls()
        self.reviews += 1

    def _look(self) -> bool:
        """Look at every file once; whether some were let go of."""
        if self._mapped:
            self._mapped.begin_round()  # what comes into use from now on is heard of, before or after it was let go of
        before = self.attached
        self._files.begin_look()
        seen: set[tuple[str, int]] = set()
        for pid in processes(self._root):
            for mapped in mapped_files(self._root, pid):
                if self._closing:
                    return False
                if (mapped.device, mapped.inode) not in seen and self._files.consider(pid, mapped):
                    seen.add((mapped.device, mapped.inode))
            self._take_mappings()
        return self._files.end_look(before)

    def _forget_calls(self) -> None:
        if self._abandoned_calls is None:
            return
        try:
            self._abandoned_calls.forget()
        except OSError as error:
            self._files.count(f"calls of ended Go programs are still held ({error.strerror})")


def _raise_descriptor_limit() -> None:
    """Use as many descriptors as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
