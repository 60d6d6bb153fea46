"""A known workload of two processes, and the agent as a program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import PATIENCE, until

ROOT = Path(__file__).parents[3]
WORKLOAD = ROOT / "tests" / "data" / "recording_workload.py"


class Workload:
    """The server and the client of tests/data/recording_workload.py, waiting to be let go."""

    def __init__(self, tag: str) -> None:
        self._begun = False
        self._server = self._start(tag, "server")
        ports = self._line(self._server)
        assert isinstance(ports, list)
        self._client = self._start(tag, "client", *map(str, ports))

    def _start(self, tag: str, *arguments: str) -> subprocess.Popen[str]:
        # The tag goes along on the command line, where a rule finds it.
        command: list[str | Path] = [sys.executable, "-X", f"tag={tag}", WORKLOAD, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _line(self, process: subprocess.Popen[str]) -> object:
        assert process.stdout is not None
        return json.loads(process.stdout.readline())

    def begin(self) -> None:
        """Let both do their work."""
        if not self._begun:
            self._begun = True
            for process in (self._server, self._client):
                _let_go(process)

    def run(self, seen: Callable[[], bool]) -> dict[str, dict[str, int]]:
        """Let both do their work, stay until the agent has seen who they are, and end; what each says it did."""
        self.begin()
        totals = {}
        for name, process in (("client", self._client), ("server", self._server)):
            totals[name] = self._line(process)
            until(seen)
            _let_go(process)
            assert process.wait(PATIENCE) == 0
        return totals  # type: ignore[return-value] # as the workload prints it

    def stop(self) -> None:
        """End what still runs."""
        for process in (self._server, self._client):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()


def _let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@contextmanager
def _workload(tag: str) -> Iterator[Workload]:
    workload = Workload(tag)
    try:
        yield workload
    finally:
        workload.stop()


@pytest.fixture
def tag(tmp_path: Path) -> str:
    return f"{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def workload(tag: str) -> Iterator[Workload]:
    """Its processes are services named `client` and `server` under the configuration of the fixture below."""
    with _workload(tag) as one:
        yield one


@pytest.fixture
def workload_configuration(tmp_path: Path, tag: str) -> Path:
    """A configuration that names the two processes of this test's workload, and nothing else of that kind."""
    file = tmp_path / "agent.yaml"
    file.write_text(
        "discovery:\n  service_rules:\n"
        f"  - {{service: '\\1', command_line: 'tag={tag} \\S*recording_workload.py (client|server)'}}\n"
        "access_log: {flush: {period: 200ms}}\n"
    )
    return file
