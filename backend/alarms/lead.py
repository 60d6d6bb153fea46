"""Which of the backends that share a folder checks rules: one of them, and another when it ends or crashes."""

import fcntl
import os
from pathlib import Path

from backend.storage.interface import StorageError


class FolderLead:
    """A lock on a file, which the kernel takes back when the process ends (flock(2)). Use from one thread.

    Args:
        path: The file; its folder is created when it is missing. It stays empty.

    Raises:
        StorageError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"{path} cannot be made: {error.strerror}; make its folder one to write to") from error
        self._path = path
        self._held = False

    def holds(self) -> bool:
        """Whether this backend is the one; it takes its turn when nobody has it, and keeps it until close().

        Raises:
            StorageError: The file system knows no locks.
        """
        if self._file is not None and not self._held:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as error:
                raise StorageError(f"{self._path} cannot be locked: {error.strerror}") from error
            self._held = True
        return self._held

    def close(self) -> None:
        """Let another have the turn."""
        if self._file is not None:
            os.close(self._file)
            self._file, self._held = None, False
