"""Which processes run programs written in Go, where the executable file may be on a file system that does not answer.

The loop of the agent asks, so it waits once for each file, and not for long: as long as nothing has answered a program
counts as none of Go's. An answer that comes later holds for the processes that are asked about from then on.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from agent.discovery.programs import is_go_program
from agent.tls.examiner import Examiner, Unanswered
from agent.tls.file_systems import FileSystems

PATIENCE_SECONDS: Final = 0.5
REMEMBERED: Final = 1024
"""Files whose answers are remembered; when there are more, all are forgotten."""

_LINE: Final = re.compile(rb"^\S+ \S+ \S+ (\S+) (\d+) +(/.*)\n", re.MULTILINE)
_READ_BYTES: Final = 512  # the kernel lists no more than is asked for, and a program comes before its libraries
_UNKNOWN: Final = ("", 0)

_SILENT: Final = "a file system does not answer: whether its programs are of Go is not known"


class GoPrograms:
    """Asks executable files. For one thread, but for `losses`."""

    def __init__(self, root: str = "/proc", patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Look below `root`, where /proc is; wait at most so long."""
        self._root = root
        self._file_systems = FileSystems(root)
        self._examiner = Examiner(patience_seconds)
        self._answers: dict[tuple[str, int, str], bool] = {}
        """By device, inode and path: until a file is replaced by another."""
        self._losses: Counter[str] = Counter()

    def is_go(self, process: int, executable: str) -> bool:
        """Whether a process runs a program of Go; False when that cannot be known.

        Args:
            process: Its id.
            executable: Where its link to the executable file leads.
        """
        path = f"{self._root}/{process}/exe"
        place = self._place(process, os.fsencode(executable))
        if place is None:
            return False
        device, inode = place
        if device and not self._file_systems.may_hang(device, process):
            return is_go_program(path)
        for about, late in self._examiner.returned():
            self._answers[about] = late.get("go", False)  # type: ignore[index] # it was asked about one of these
        file = device, inode, executable
        if file not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[file] = False
            try:
                self._answers[file] = bool(self._examiner.ask("is_go", path, device, file)["go"])
            except Unanswered:
                self._losses[_SILENT] += 1
        return self._answers[file]

    def losses(self) -> Mapping[str, int]:
        """Executable files of which nothing is known, by cause, since the start."""
        return dict(self._losses)

    def close(self) -> None:
        """Ask no more."""
        self._examiner.close()

    def _place(self, process: int, executable: bytes) -> tuple[str, int] | None:
        """Device and inode of the executable file, as the kernel lists it with what the process has mapped.

        None when there is no such list: of a kernel thread, of a process that has ended.
        """
        try:
            descriptor = os.open(f"{self._root}/{process}/maps", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            text = b""
            while data := os.read(descriptor, _READ_BYTES):
                text = text.rpartition(b"\n")[2] + data
                for device, inode, path in _LINE.findall(text):
                    if path == executable:
                        return device.decode(), int(inode)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return _UNKNOWN if text else None
