"""A real file system that does not answer when it is told not to."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agent.tls.mappings import mapped_files
from tests.waiting import until

SERVER = Path(__file__).with_name("silent_file_system.py")

needs_fuse = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs root and /dev/fuse to mount"
)


class SilentFiles:
    """Some files below `folder`, as long as they are there."""

    def __init__(self, folder: Path, server: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self._server = server

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Nothing is answered meanwhile; what was asked is answered then."""
        self._tell("silent")
        try:
            yield
        finally:
            self._tell("answering")

    def is_asked(self) -> bool:
        """Whether somebody waits for an answer."""
        return int(self._say("waiting")) > 0

    def _tell(self, word: str) -> None:
        assert self._say(word) == word

    def _say(self, word: str) -> str:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(word + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline().strip()


@contextlib.contextmanager
def silent_files(tmp_path: Path, *files: Path) -> Iterator[SilentFiles]:
    """Copies of some files on a file system of their own. When it ends, who waits for it fails."""
    shown, folder = tmp_path / "shown", tmp_path / "mounted"
    for path in (shown, folder):
        path.mkdir()
    for path in files:
        (shown / path.name).write_bytes(path.read_bytes())
    command: list[str | Path] = [sys.executable, "-I", SERVER, shown, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "mounted\n"
        try:
            yield SilentFiles(folder, server)
        finally:
            server.communicate()
    until(lambda: not folder.is_mount())


@contextlib.contextmanager
def running(*command: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that runs until this is over, and has begun to."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        until(lambda: child.poll() is not None or list(mapped_files("/proc", child.pid)))
        try:
            yield child
        finally:
            child.kill()


def starts_nothing(work: Callable[[], object]) -> bool:
    """Whether this process has the same children after some work."""
    before = _children()
    work()
    return _children() == before


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}
