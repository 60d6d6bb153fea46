"""Having files read by a process of its own, where reading may never come to an end.

Nothing ends a thread that waits for a network file system without its server, and a process with such a thread does not
end either; so it is another process (`agent.tls.examiner_child`) that waits. It is started when there is something to
read, and ends by itself when there is nothing for a while. One that does not answer in time is left to wait: until it
has come back nothing else of its file system is read, so that each holds one process, and the reader once.
"""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from agent.tls.elf import ElfError, ForeignError
from agent.tls.go import GoError
from agent.tls.libraries import Library, Place
from agent.tls.mappings import Identity, Version

HELD: Final = 8
"""File systems that may be waited for at the same time; of others nothing is read meanwhile."""

left_behind: Final[list["subprocess.Popen[bytes]"]] = []
"""Processes that were ended, and are not let go of by the kernel yet."""

_END_SECONDS: Final = 0.2
_CHILD: Final = Path(__file__).with_name("examiner_child.py")
_ERRORS: Final = {error.__name__: error for error in (ElfError, ForeignError, GoError)}

Answer = dict[str, Any]


class Unanswered(Exception):  # noqa: N818 # not a failure of anything here
    """A file system does not answer."""


class Examiner:
    """Reads files in another process. For one thread."""

    def __init__(self, seconds: float, end: int | None = None) -> None:
        """Ask nothing yet.

        Args:
            seconds: How long to wait for an answer.
            end: A descriptor; when it becomes readable, no answer is waited for any more.
        """
        self._seconds = seconds
        self._end = end
        self._idle: _Child | None = None
        self._held: dict[str, _Child] = {}

    @property
    def held(self) -> int:
        """File systems that are waited for."""
        return len(self._held)

    def identify(self, path: str, device: str) -> tuple[Identity, Version]:
        """As `agent.tls.mappings.identify`.

        Args:
            path: Of the file.
            device: Of its file system.

        Raises:
            Unanswered: See there.
            OSError: The path leads nowhere, or to something else than a file.
        """
        answer = self.ask("identify", path, device)
        return Identity(*answer["identity"]), Version(*answer["version"])

    def examine(self, path: str, device: str) -> Library:
        """As `agent.tls.libraries.examine`.

        Args:
            path: Of the file.
            device: Of its file system.

        Raises:
            Unanswered: See there.
            OSError: The file cannot be read.
            ElfError: It is no program or library, or damaged, or a Go program whose functions cannot be found.
        """
        answer = self.ask("examine", path, device)
        places = tuple(Place(function, offset, at_return) for function, offset, at_return in answer["places"])
        return Library(tuple(answer["names"]), places, answer["build_id"])

    def ask(self, question: str, path: str, device: str, about: object = None) -> Answer:
        """What the other process answers.

        Args:
            question: One that it knows.
            path: Of the file.
            device: Of its file system.
            about: Comes with an answer that is late: see `returned`.

        Raises:
            Unanswered: See there; or nobody could be asked.
            OSError, ElfError: As the question has it.
        """
        if device in self._held or len(self._held) >= HELD:
            raise Unanswered
        for _ in range(2):  # the one that was there may have ended just now
            try:
                child = self._idle or _Child()
            except OSError as error:
                raise Unanswered from error
            self._idle = None
            if not child.ask(question, path, about):
                child.close()
                continue
            child.wait(self._seconds, self._end)
            answer = child.answer()
            if answer is None:
                self._held[device] = child
                raise Unanswered
            if not child.has_ended:
                self._idle = child
                return _checked(answer)
            child.close()
        raise Unanswered

    def returned(self) -> list[tuple[object, Answer]]:
        """What came too late since the last call, with what it was asked about; its file systems are back.

        An answer is empty where the process has ended without one.
        """
        found = []
        for device, child in list(self._held.items()):
            answer = child.answer()
            if answer is not None:
                del self._held[device]
                child.close()
                found.append((child.about, answer))
        return found

    def close(self) -> None:
        """Leave no process behind, but those that the kernel does not let go of."""
        for child in (*self._held.values(), *([self._idle] if self._idle else [])):
            child.close()
        self._held.clear()
        self._idle = None


class _Child:
    """One process, which answers one question at a time."""

    def __init__(self) -> None:
        left_behind[:] = [process for process in left_behind if process.poll() is None]
        self.about: object = None
        self.has_ended = False
        self._received = b""
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._from, False)

    def ask(self, question: str, path: str, about: object) -> bool:
        """Whether it was there to be asked."""
        self.about, self._received = about, b""
        try:
            os.write(self._to, json.dumps([question, path]).encode() + b"\n")
        except BrokenPipeError:
            return False
        return True

    def wait(self, seconds: float, end: int | None) -> None:
        """Wait for the answer, or until the time is over or something comes from the descriptor `end`."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._from, select.POLLIN)
        if end is not None:
            poll.register(end, select.POLLIN)
        while self.answer() is None:
            left = deadline - time.monotonic()
            if left <= 0 or any(descriptor == end for descriptor, _ in poll.poll(left * 1000)):
                return

    def answer(self) -> Answer | None:
        """What it has answered; nothing in it when it has ended without; None while it is at it."""
        while not self.has_ended and not self._received.endswith(b"\n"):
            try:
                data = os.read(self._from, 1 << 16)
            except BlockingIOError:
                return None
            self._received += data
            self.has_ended = not data
        try:
            answer: Answer = json.loads(self._received)
        except ValueError:  # it was ended within
            return {}
        return answer

    def close(self) -> None:
        """End it. Where the kernel does not let go of it yet, it ends when that is over."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            left_behind.append(self._process)


def _checked(answer: Answer) -> Answer:
    """The answer, unless it is an error, which is raised."""
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
    if "error" in answer:
        raise _ERRORS[answer["error"]](answer["text"])
    return answer
