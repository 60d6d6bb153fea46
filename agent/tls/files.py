"""The files that processes run code from, each examined once: which have probes, and which have nothing in them."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from agent.kernel.wrappers import Program
from agent.tls.attachments import Attached, Attacher, Attachments, Probes
from agent.tls.elf import ElfError, ForeignError
from agent.tls.examiner import Examiner, Unanswered
from agent.tls.file_systems import FileSystems
from agent.tls.go import GoError
from agent.tls.libraries import Library, examine
from agent.tls.mappings import Identity, Mapped, Version, identify, open_path
from agent.tls.patience import call_within
from agent.tls.shortage import Shortage

PASSED_OVER: Final = 16_384
"""Files that are remembered to have nothing in them; when there are more, all are examined once more."""
PATIENCE_SECONDS: Final = 10.0
"""How long a file system may take to answer that is not of this machine alone."""

_SILENT: Final = "a file system does not answer: its programs and libraries are not looked at"


class _Found(Enum):
    """What came of a look at a file."""

    PROBES = "it has them now"
    NOTHING = "there is no reason to look at it again"
    FAILED = "it could not be opened"


class _File(NamedTuple):
    """One that is looked at."""

    path: str
    """That leads to it while the process has it mapped."""
    identity: Identity
    version: Version
    name: str
    """To show."""


class Files:
    """What is known of each file. For one thread, but for `attached` and `failures`."""

    def __init__(
        self,
        programs: Mapping[Program, int],
        root: str,
        *,
        capacity: int,
        attacher: Attacher,
        patience_seconds: float = PATIENCE_SECONDS,
        end: int | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            programs: Loaded programs by their descriptors, which must stay open.
            root: Where /proc is.
            capacity: Files that may have probes at the same time.
            attacher: What puts the probes in place.
            patience_seconds: See `PATIENCE_SECONDS`.
            end: A descriptor; when it becomes readable, nothing is waited for any more.
        """
        self._root = root
        self._lock = threading.Lock()
        self._attachments = Attachments(programs, attacher, capacity)
        self._file_systems = FileSystems(root)
        self.examiner = Examiner(patience_seconds, end)
        """Reads what may never be read."""
        self._patience_seconds = patience_seconds
        self._passed_over: dict[Identity, Version] = {}
        self._unanswered: set[tuple[str, int]] = set()
        self._used: set[Identity] = set()
        self._failures: Counter[str] = Counter()
        self.shortage = Shortage()
        """Whether a file found no room."""

    @property
    def attached(self) -> dict[Identity, Attached]:
        """The files that have probes at the moment."""
        with self._lock:
            return dict(self._attachments.attached)

    def failures(self) -> Counter[str]:
        """What could not be watched, by cause, since the start."""
        with self._lock:
            return self._failures + self._attachments.failures

    def count(self, cause: str) -> None:
        """Note something that could not be watched."""
        with self._lock:
            self._failures[cause] += 1

    def begin_look(self) -> None:
        """From now on files that come to be considered are in use."""
        self._used.clear()

    def end_look(self, before: Iterable[Identity]) -> bool:
        """Let go of those that had probes before and are not in use; whether there were some."""
        unused = set(before) - self._used
        self.forget(unused)
        if unused:
            self._passed_over.clear()  # there is room again for what found none
        return bool(unused)

    def forget(self, identities: Iterable[Identity]) -> None:
        """Take the probes off some files."""
        with self._lock:
            descriptors = self._attachments.forget(identities)
        for descriptor in descriptors:
            os.close(descriptor)

    def come_back(self) -> bool:
        """Whether a file system has answered that did not, so that there may be something to be found."""
        if not self.examiner.returned():
            return False
        self._unanswered.clear()
        return True

    def consider(self, process: int, mapped: Mapped) -> bool:
        """Examine a file that a process uses, unless it is known; put probes where they belong.

        Returns:
            False when there was nothing to look at any more, as the process has ended or let go of the file.
        """
        path = open_path(self._root, process, mapped.begin, mapped.end)
        afar = self._afar(process, mapped)
        try:
            identity, version = self._identify(path, afar)
            self._used.add(identity)
            if self._is_known(identity, version):
                return True
            file = _File(path, identity, version, mapped.path.removesuffix(" (deleted)"))
            found = self._look(file) if afar is None else self._look_from_afar(file, afar)
        except (FileNotFoundError, ProcessLookupError):
            return False
        except OSError:
            return True  # no file, or one that nobody is told anything of
        except Unanswered:
            self._note_unanswered(mapped)
            return True
        if found is _Found.NOTHING:
            if len(self._passed_over) >= PASSED_OVER:
                self._passed_over.clear()
            self._passed_over[identity] = version
        return True

    def version(self, process: int, mapped: Mapped) -> Version | None:
        """The version of a file that a process uses; None when that cannot be known."""
        path = open_path(self._root, process, mapped.begin, mapped.end)
        try:
            return self._identify(path, self._afar(process, mapped))[1]
        except (OSError, Unanswered):
            return None

    def _afar(self, process: int, mapped: Mapped) -> str | None:
        """The device of a file that is not to be touched, as nobody may answer."""
        return mapped.device if self._file_systems.may_hang(mapped.device, process) else None

    def _identify(self, path: str, afar: str | None) -> tuple[Identity, Version]:
        """As `agent.tls.mappings.identify`; of a file that is not to be touched by another process.

        Raises:
            OSError: It leads nowhere, or to something else than a file.
            Unanswered: The file system does not answer.
        """
        return identify(path) if afar is None else self.examiner.identify(path, afar)

    def _is_known(self, identity: Identity, version: Version) -> bool:
        attached = self._attachments.attached.get(identity)
        if attached is None:
            return self._passed_over.get(identity) == version
        if attached.version == version:
            return True
        self.forget([identity])  # it was written to: what stood there stands elsewhere
        return False

    def _look(self, file: _File) -> _Found:
        """Look at a file that is known to answer.

        Raises:
            FileNotFoundError, ProcessLookupError: The process has ended.
        """
        try:
            descriptor = _open(file.path)
        except (FileNotFoundError, ProcessLookupError):
            raise
        except OSError as error:
            self.count(f"a file cannot be opened: {error.strerror}")
            return _Found.FAILED
        try:
            # The process may end meanwhile: what is open stays.
            opened = f"/proc/self/fd/{descriptor}"
            library = self._understood(lambda: examine(opened))
            if not self._has_room_for(library):
                return _Found.NOTHING
            for place in library.places:  # so that the kernel finds the code in memory, and need not read it itself
                os.pread(descriptor, 1, place.offset)
            return self._keep(file, library, self._attachments.attach(opened, library))
        except OSError as error:
            self.count(f"a file cannot be read: {error.strerror}")
            return _Found.NOTHING
        finally:
            os.close(descriptor)

    def _look_from_afar(self, file: _File, device: str) -> _Found:
        """The same, where nothing that is waited for may touch the file; the kernel that puts probes there, too.

        Raises:
            FileNotFoundError, ProcessLookupError: The process has ended.
            Unanswered: The file system does not answer.
        """

        def attach(library: Library) -> Probes:
            descriptor = _open(file.path)
            try:
                return self._attachments.attach(f"/proc/self/fd/{descriptor}", library)
            finally:
                os.close(descriptor)

        try:
            library = self._understood(lambda: self.examiner.examine(file.path, device))
            if not self._has_room_for(library):
                return _Found.NOTHING
            probes = call_within(self._patience_seconds, lambda: attach(library), _take_off)
        except (FileNotFoundError, ProcessLookupError):
            raise
        except OSError as error:
            self.count(f"a file cannot be read: {error.strerror}")
            return _Found.NOTHING
        return self._keep(file, library, probes)

    def _understood(self, look: Callable[[], Library]) -> Library:
        """What a file has; nothing when it cannot be understood.

        Raises:
            OSError: It cannot be opened.
            Unanswered: The file system does not answer.
        """
        try:
            return look()
        except ForeignError:
            pass
        except GoError as error:
            self.count(f"a Go program cannot be watched: {error}")
        except ElfError:
            self.count("programs and libraries that cannot be understood")
        return _EMPTY

    def _has_room_for(self, library: Library) -> bool:
        """Whether probes are to be put into a file with this in it."""
        if not library.places:
            return False
        if self._attachments.is_full:
            self.shortage.note()
            self.count("too many libraries and programs")
            return False
        return True

    def _keep(self, file: _File, library: Library, probes: Probes) -> _Found:
        with self._lock:
            has_probes = self._attachments.keep(file.identity, file.version, file.name, library, probes)
        return _Found.PROBES if has_probes else _Found.NOTHING

    def _note_unanswered(self, mapped: Mapped) -> None:
        """A file stays as it is, and is counted once until its file system is back."""
        self._used |= {one for one in self._attachments.attached if one.is_mapped_as(mapped)}
        if (mapped.device, mapped.inode) not in self._unanswered:
            if len(self._unanswered) >= PASSED_OVER:
                self._unanswered.clear()
            self._unanswered.add((mapped.device, mapped.inode))
            self.count(_SILENT)


_EMPTY: Final = Library((), (), "")


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def _take_off(probes: Probes) -> None:
    for descriptor in probes.descriptors:
        os.close(descriptor)
