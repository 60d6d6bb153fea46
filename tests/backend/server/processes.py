"""Whole backends in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
ANY_PORTS = ("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0")

Process = subprocess.Popen[str]


def start(*arguments: str, environment: dict[str, str] | None = None, fds: tuple[int, ...] = ()) -> Process:
    """Start `pyrover-backend serve`."""
    return subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "serve", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        pass_fds=fds,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def backend(
    data: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[Process, dict[str, str]]]:
    """A ready backend and its addresses; it is stopped at the end if the test has not done so."""
    reading, writing = os.pipe()
    told = (*ANY_PORTS, "--data", str(data), "--ready-fd", str(writing), *arguments)
    process = start(*told, environment=environment, fds=(writing,))
    os.close(writing)
    try:
        with os.fdopen(reading) as ready:
            line = ready.readline()
            assert line, process.communicate()
            addresses = json.loads(line)
            assert ready.read() == ""  # closed by the backend
        yield process, addresses
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=120)
