"""Keeps the probes in step with the processes, in a thread of its own: examining a large program takes a while.

At start the files of all processes are examined, then each that a process begins to run code from. A probe belongs to a
file, so processes that run a file with probes are watched from their first instruction on. Now and then everything is
looked at again, and soon where a file found no room: files that nobody runs any more lose their probes, and what was
not heard of is found.
"""

import contextlib
import os
import resource
import select
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from agent.kernel.uprobes import Uprobes
from agent.kernel.wrappers import Program
from agent.tls.abandoned_calls import AbandonedCalls
from agent.tls.attachments import LIBRARIES, Attached, Attacher, Attachments
from agent.tls.elf import ElfError, ForeignError
from agent.tls.go import GoError
from agent.tls.libraries import Library, examine
from agent.tls.mapping_events import MappingEvents, NewMapping
from agent.tls.mappings import Identity, Version, identify, mapped_files, open_path, processes
from agent.tls.shortage import Shortage

REVIEW_SECONDS: Final = 300.0
"""How often everything is looked at again."""
SCAN_SECONDS: Final = 5.0
"""Same, where the kernel does not tell of new mappings."""
PASSED_OVER: Final = 16_384
"""Files that are remembered to have nothing in them; when there are more, all are examined once more."""

_RECENT_SECONDS: Final = 1.0
_RECENT: Final = 4096


class TlsWatcher:
    """Attaches the programs that see plain text, wherever it goes in and comes out. `start` it, and `close` it."""

    def __init__(
        self,
        programs: Mapping[Program, int],
        root: str = "/proc",
        *,
        capacity: int = LIBRARIES,
        attacher: Attacher | None = None,
        review_seconds: float = REVIEW_SECONDS,
        abandoned_calls: AbandonedCalls | None = None,
    ) -> None:
        """Prepare.

        Args:
            programs: Loaded programs by their descriptors, which must stay open.
            root: Where /proc is.
            capacity: Files that may have probes at the same time.
            attacher: What puts the probes in place; the kernel, unless something else is given.
            review_seconds: See `REVIEW_SECONDS`.
            abandoned_calls: Of Go programs, to be forgotten when everything is looked at.

        Raises:
            OSError: The kernel has no uprobes.
        """
        self._root = root
        self._lock = threading.Lock()
        self._attachments = Attachments(programs, attacher or Uprobes(), capacity)
        self._passed_over: dict[Identity, Version] = {}
        self._recent: dict[tuple[tuple[int, int, int, int], bytes], NewMapping | None] = {}
        self._recent_until = 0.0
        self._used: set[Identity] = set()
        self._shortage = Shortage()
        self._failures: Counter[str] = Counter()
        self._review_seconds = review_seconds
        self._abandoned_calls = abandoned_calls
        self._events: MappingEvents | None = None
        self._why_no_events = ""
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closing = False
        self.reviews = 0
        """Times that everything was looked at."""
        self._thread = threading.Thread(target=self._run, name="tls", daemon=True)

    def start(self) -> None:
        """Begin: attach to what runs, then to what comes."""
        _raise_descriptor_limit()
        try:
            self._events = MappingEvents()
        except OSError as error:
            self._why_no_events = error.strerror or str(error)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and take every probe off."""
        self._closing = True
        self.review()
        if self._thread.is_alive():
            self._thread.join()
        self._forget(self._attachments.attached)
        if self._events:
            self._events.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def review(self) -> None:
        """Look at everything again, soon."""
        with contextlib.suppress(BlockingIOError):  # then it is about to
            os.write(self._wake_writer, b"\0")

    @property
    def attached(self) -> dict[Identity, Attached]:
        """The files that have probes at the moment."""
        with self._lock:
            return dict(self._attachments.attached)

    def failures(self) -> dict[str, int]:
        """What could not be watched, by cause, since the start."""
        with self._lock:
            failures = self._failures + self._attachments.failures
            if self._events and self._events.lost:
                failures["mappings that the kernel did not tell"] = self._events.lost
            if self._why_no_events:
                failures[f"the kernel does not tell of new mappings: {self._why_no_events}"] = 1
        return {f"TLS: {cause}": count for cause, count in failures.items()}

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        for descriptor in self._events.descriptors if self._events else ():
            poll.register(descriptor, select.POLLIN)
        period = self._review_seconds if self._events else min(SCAN_SECONDS, self._review_seconds)
        due = 0.0
        while not self._closing:
            if time.monotonic() >= min(due, self._shortage.due):
                self._review()
                due = time.monotonic() + period
            next_look = min(due, self._shortage.due)
            if any(self._recent.values()):
                next_look = min(next_look, self._recent_until)
            ready = poll.poll(max(0.0, next_look - time.monotonic()) * 1000)
            if any(descriptor == self._wake_reader for descriptor, _ in ready):
                os.read(self._wake_reader, 4096)
                due = 0.0
            self._take_events()

    def _take_events(self) -> None:
        if self._events is None:
            return
        lost = self._events.lost
        for mapping in [*self._postponed(), *self._events.take()]:
            self._consider_new(mapping)
        if self._events.lost != lost:
            self.review()

    def _postponed(self) -> list[NewMapping]:
        """Of the files that were looked at within the last moment, the last mapping that came since, when it is over.

        Every process maps the same few libraries, so that there may be thousands a second of each.
        """
        now = time.monotonic()
        if now < self._recent_until and len(self._recent) <= _RECENT:
            return []
        postponed = [mapping for mapping in self._recent.values() if mapping]
        self._recent.clear()
        self._recent_until = now + _RECENT_SECONDS
        return postponed

    def _consider_new(self, mapping: NewMapping) -> None:
        key = mapping.file, mapping.name
        if not any(mapping.file):
            return
        if key in self._recent:
            self._recent[key] = mapping
            return
        path = open_path(self._root, mapping.process, mapping.begin, mapping.end)
        name = os.fsdecode(mapping.name)
        # A process may be gone, or have changed the mapping since, which takes another path to the same file.
        for candidate in (path, f"{self._root}/{mapping.process}/root{name}"):
            try:
                identity, version = identify(candidate)
            except OSError:
                continue
            if identity.inode == mapping.file[2]:
                self._recent[key] = None
                self._consider(candidate, identity, version, name)
                return

    def _review(self) -> None:
        """Look at every file that a process runs code from; let go of those that none does."""
        made_room = self._look()
        if made_room and self._shortage.is_noted:
            self._look()  # for what found none
        self._shortage.looked(time.monotonic(), made_room=made_room)
        self._forget_calls()
        self.reviews += 1

    def _look(self) -> bool:
        """Look at every file once; whether some were let go of."""
        before = set(self.attached)
        self._used.clear()
        seen: set[tuple[str, int]] = set()
        for pid in processes(self._root):
            for mapped in mapped_files(self._root, pid):
                if self._closing:
                    return False
                if (mapped.device, mapped.inode) in seen:
                    continue
                path = open_path(self._root, pid, mapped.begin, mapped.end)
                try:
                    identity, version = identify(path)
                except OSError:
                    continue  # the process has ended, or let go of it
                seen.add((mapped.device, mapped.inode))
                self._consider(path, identity, version, mapped.path.removesuffix(" (deleted)"))
            if self._events:
                self._take_events()
        unused = before - self._used
        self._forget(unused)
        if unused:
            self._passed_over.clear()  # there is room again for what found none
        return bool(unused)

    def _forget_calls(self) -> None:
        if self._abandoned_calls is None:
            return
        try:
            self._abandoned_calls.forget()
        except OSError as error:
            with self._lock:
                self._failures[f"calls of ended Go programs are still held ({error.strerror})"] += 1

    def _consider(self, path: str, identity: Identity, version: Version, name: str) -> None:
        """Examine a file that is in use, unless it is known; put probes where they belong."""
        self._used.add(identity)
        attached = self._attachments.attached.get(identity)
        if attached is not None:
            if attached.version == version:
                return
            self._forget([identity])  # it was written to: what stood there stands elsewhere
        elif self._passed_over.get(identity) == version:
            return
        if not self._found_something(path, identity, version, name):
            if len(self._passed_over) >= PASSED_OVER:
                self._passed_over.clear()
            self._passed_over[identity] = version

    def _found_something(self, path: str, identity: Identity, version: Version, name: str) -> bool:
        """Whether there is reason to look at a file again: it has probes, or could not be opened."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except (FileNotFoundError, ProcessLookupError):
            return True  # the process has ended
        except OSError as error:
            self._fail(f"a file cannot be opened: {error.strerror}")
            return True
        try:
            # The process may end meanwhile: what is open stays.
            opened = f"/proc/self/fd/{descriptor}"
            library = self._examine(opened)
            if library is None or not library.places:
                return False
            for place in library.places:  # so that the kernel finds the code in memory, and need not read it itself
                os.pread(descriptor, 1, place.offset)
            with self._lock:
                if self._attachments.is_full:
                    self._shortage.note()
                return self._attachments.add(identity, version, opened, name, library)
        except OSError as error:
            self._fail(f"a file cannot be read: {error.strerror}")
            return False
        finally:
            os.close(descriptor)

    def _examine(self, path: str) -> Library | None:
        """What a file has; None when it cannot be understood.

        Raises:
            OSError: It cannot be opened.
        """
        try:
            return examine(path)
        except ForeignError:
            return None
        except GoError as error:
            self._fail(f"a Go program cannot be watched: {error}")
        except ElfError:
            self._fail("programs and libraries that cannot be understood")
        return None

    def _forget(self, identities: Iterable[Identity]) -> None:
        with self._lock:
            descriptors = self._attachments.forget(identities)
        for descriptor in descriptors:
            os.close(descriptor)

    def _fail(self, cause: str) -> None:
        with self._lock:
            self._failures[cause] += 1


def _raise_descriptor_limit() -> None:
    """Use as many descriptors as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
