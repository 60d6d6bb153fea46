"""What can go wrong at the edges of a simulation: disks, stores, and the process itself."""

import errno
import os
import random
from io import FileIO
from pathlib import Path, PosixPath
from typing import Any, Self

from backend.storage.interface import Flush, Storage, StorageError


class Crash(BaseException):
    """The process ends here, as by kill -9. No handler of errors sees it."""


class Faults:
    """Draws what goes wrong, as long as something may."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.active = True
        self.rate = chance.choice((0.0, 0.01, 0.03, 0.1))
        """Of each kind of fault, by the step at which it can happen."""
        self.disk_full = False
        """Of the machine of agents; it lasts."""

    def strikes(self, times: float = 1.0) -> bool:
        """Whether something happens that is so many times as likely as others."""
        return self.active and self.chance.random() < self.rate * times

    def crash(self) -> None:
        """Perhaps end the process here."""
        if self.strikes(0.5):
            raise Crash

    def fail(self, times: float = 1.0) -> None:
        """Perhaps fail as a disk does."""
        if self.strikes(times):
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class PlannedFaults(Faults):
    """Nothing goes wrong but what is planned: at one of the steps at which something can.

    Attributes:
        have_struck: Whether a step that was planned has come.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.have_struck = False
        self._passed_over: int | None = None

    def plan(self, passed_over: int) -> None:
        """Have something go wrong after so many of the steps at which it could, whatever was planned before."""
        self._passed_over = passed_over

    def strikes(self, times: float = 1.0) -> bool:  # noqa: ARG002 - as Faults has it
        """Whether it is this step."""
        if not self.active or self._passed_over is None:
            return False
        self._passed_over -= 1
        if self._passed_over >= 0:
            return False
        self._passed_over = None
        self.have_struck = True
        return True


class FaultyPath(PosixPath):
    """A path below which writing, renaming and removing can fail, be cut short, or be the last thing that happens."""

    faults: Faults

    @classmethod
    def of(cls, path: Path, faults: Faults) -> Self:
        """The same path, with faults."""
        kind = type(cls.__name__, (cls,), {"faults": faults})
        made: Self = kind(path)
        return made

    def write_bytes(self, data: Any) -> int:  # noqa: ANN401 - as Path has it
        """Write all, or a part and then fail or die."""
        self.faults.crash()
        if self.faults.disk_full or self.faults.strikes():
            super().write_bytes(data[: self.faults.chance.randrange(len(data) + 1)])
            self.faults.crash()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write_bytes(data)
        self.faults.crash()
        return written

    def rename(self, target: Any) -> Self:  # noqa: ANN401 - as Path has it
        """Rename, and perhaps die before or after."""
        self.faults.crash()
        self.faults.fail()
        renamed = super().rename(target)
        self.faults.crash()
        return renamed

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as Path has it
        """Remove, and perhaps die before or after."""
        self.faults.crash()
        self.faults.fail(0.3)
        super().unlink(missing_ok)
        self.faults.crash()


class FaultyOs:
    """The module os, with faults in what writes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._opened: dict[int, Path] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever os has
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Open a file, and note whose it is."""
        file = os.open(path, flags, mode)
        self._opened[file] = Path(path)
        return file

    def close(self, file: int) -> None:
        """Close a file."""
        self._opened.pop(file)
        os.close(file)

    def end(self, folder: Path) -> None:
        """Close what a process that has ended had open below a folder."""
        for file, path in list(self._opened.items()):
            if path.is_relative_to(folder):
                self.close(file)

    def pwrite(self, file: int, data: bytes, at: int) -> int:
        """Write, perhaps a part of it and then die."""
        if self._faults.strikes(0.3):
            os.pwrite(file, data[: self._faults.chance.randrange(len(data) + 1)], at)
            raise Crash
        return os.pwrite(file, data, at)

    def fdatasync(self, file: int) -> None:
        """Perhaps fail, or die. What was written before is on the disk afterwards, as FaultyFile notes."""
        self._faults.crash()
        self._faults.fail()
        FaultyFile.synced[str(Path(f"/proc/self/fd/{file}").readlink())] = os.fstat(file).st_size
        self._faults.crash()


class FaultyFile(FileIO):
    """A file of the journal, which takes a part, fails or is the last thing that happens."""

    faults: Faults
    synced: dict[str, int] = {}  # noqa: RUF012 - one machine
    """By path, the bytes that survive the death of the machine."""
    opened: list["FaultyFile"] = []  # noqa: RUF012 - as above
    """Also those that the dead have left open."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self.opened.append(self)

    def write(self, data: Any) -> int:  # noqa: ANN401 - as FileIO has it
        """Write a part; fail; or die after a part."""
        if self.faults.strikes():
            super().write(data[: self.faults.chance.randrange(len(data) + 1)])
            self.faults.crash()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.faults.crash()
        part = data[: self.faults.chance.randint(1, len(data))] if self.faults.active else data
        return super().write(part)


class FaultyStore:
    """A store that fails before or after it has written, or is the last thing that its process does."""

    def __init__(self, store: Storage, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a store has
        return getattr(self._store, name)

    def write(self, flush: Flush) -> None:
        """As Storage.write."""
        self._faults.crash()
        self._answer()
        self._store.write(flush)
        self._faults.crash()
        self._answer()

    def stored_batches(self, identifiers: Any, writer: str) -> set[str]:  # noqa: ANN401 - as Storage has it
        """As Storage.stored_batches."""
        self._answer()
        return self._store.stored_batches(identifiers, writer)

    def has_written(self, writer: str) -> bool:
        """As WriterMemory.has_written."""
        self._answer()
        known: bool = self._store.has_written(writer)  # type: ignore[attr-defined] # every store of a simulation has it
        return known

    def _answer(self) -> None:
        if self._faults.strikes(2.0):
            raise StorageError("the disk is full")
