"""What the Python servers have in common: what to answer, and how to say what was exchanged."""

import json
from dataclasses import dataclass
from pathlib import Path

BODY = b"x" * (5 * 1024 * 1024)
PIECE = 16 * 1024
"""Bytes of a body whose length is not told that are sent at once."""
WITHOUT_BODY = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    body: memoryview
    tells_length: bool = True

    def pieces(self) -> list[memoryview]:
        """The body in parts."""
        return [self.body[start : start + PIECE] for start in range(0, len(self.body), PIECE)]


def answer(target: str) -> Answer:
    """What the targets of tests/e2e/http/calls.py mean."""
    _, kind, value, *_ = target.partition("?")[0].split("/")
    if kind == "status":
        status = int(value)
        return Answer(status, memoryview(b"" if status in WITHOUT_BODY else b"as told\n"))
    if kind not in {"bytes", "chunked", "upload"}:
        return Answer(404, memoryview(b"no such thing\n"))
    return Answer(200, memoryview(BODY)[: int(value)], tells_length=kind != "chunked")


class Log:
    """The server's account: one line for each exchange."""

    def __init__(self, file: str) -> None:
        self._file = Path(file).open("a", buffering=1)  # noqa: SIM115 - open as long as the program runs

    def write(self, **said: object) -> None:
        """Add an exchange; names are those of tests/e2e/http/account.py."""
        self._file.write(json.dumps(said) + "\n")


def ready(port: int) -> None:
    """Tell the test where to connect."""
    print(json.dumps({"port": port}), flush=True)
