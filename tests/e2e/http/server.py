"""Servers as the tests use them: started, ready, asked for their account, stopped."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.http.account import Expected, read_account
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.tools import node
from tests.e2e.programs import program, read_line
from tests.waiting import PATIENCE, until

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Server:
    """A running server with a log of its own."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]
    authority: str | None = None
    """Whom its clients have to trust, when it speaks TLS."""
    read: Callable[[str], list[Expected]] = read_account
    """From the text of its log."""

    @property
    def base(self) -> str:
        """Where its targets begin. The name is the certificate's, and resolves to the loopback address here."""
        return f"https://localhost:{self.port}" if self.authority else f"http://127.0.0.1:{self.port}"

    def said(self) -> int:
        """How many exchanges it has told of."""
        return self.log.read_text().count("\n")

    def account(self, count: int, before: int = 0) -> list[Expected]:
        """What it says it did, once that are `count` exchanges more than it had told of before."""
        wait_until(lambda: self.said() >= before + count, self.log)
        return self.read(self.log.read_text())[before:]


def wait_until(condition: Callable[[], bool], file: Path) -> None:
    """Wait for what another program writes to a file."""

    def end() -> str:
        return f"{file} says it; its end: {file.read_text()[-1000:] if file.exists() else '(there is no such file)'}"

    until(condition, end)


@contextmanager
def started(
    command: Sequence[str | Path], log: Path, certificates: Certificates | None, *rest: str
) -> Iterator[Server]:
    """A program that is given its log and a certificate, and prints its port."""
    log.touch()
    secrets = (certificates.certificate, certificates.key) if certificates else ()
    with program([*command, log, *rest, *secrets], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = json.loads(read_line(process.stdout.fileno(), f"the server {command}"))["port"]
        yield Server(port, log, process, certificates.authority if certificates else None)
        assert process.poll() is None, "the server has ended by itself"
        process.terminate()
        assert process.wait(PATIENCE) == 0


def python_command(module: str, *arguments: str) -> list[str]:
    """A module of this folder as a program."""
    return [sys.executable, "-m", f"tests.e2e.http.{module}", *arguments]


def node_command(script: str, *arguments: str) -> list[str]:
    """A script of this folder under Node.js."""
    return [node(), str(HERE / script), *arguments]
