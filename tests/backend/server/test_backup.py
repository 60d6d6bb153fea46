"""A copy of a stopped backend's folder is all that it knew (docs/operations.md)."""

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

from tests.backend.server.processes import ROOT, Process, backend
from tests.scripts import page_traffic

_SECONDS = 300
"""A bound on waiting."""


def replay(recording: Path, address: str) -> None:
    command: list[str | Path] = [sys.executable, "-m", "backend.cli", "replay", recording, "--to", address]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=_SECONDS)


def answers(http: str, end: int) -> dict[str, object]:
    """What is known of the twenty minutes before a time."""
    told: dict[str, object] = {}
    span = {"start": _written(end - 20 * 60), "end": _written(end)}
    for path in ("/api/services", "/api/endpoints", "/api/topology"):
        address = f"{http}{path}?{urllib.parse.urlencode(span)}"
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - always http
            told[path] = json.load(answer)
    return told


def _written(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(seconds))


def stop(process: Process) -> None:
    process.terminate()
    process.communicate(timeout=_SECONDS)
    assert process.returncode == 0


def test_a_copy_of_the_folder_answers_as_the_original(tmp_path: Path) -> None:
    recording, original, copy = tmp_path / "traffic.pyrover", tmp_path / "original", tmp_path / "copy"
    page_traffic.record(recording)
    with backend(original) as (process, addresses):
        replay(recording, addresses["grpc"])
        # A minute that is over when the copy is asked, too: what is observed of it does not change any more.
        end = int(time.time()) // 60 * 60 - 60
        before = answers(addresses["http"], end)
        stop(process)
    shutil.copytree(original, copy, symlinks=True)
    shutil.rmtree(original)
    with backend(copy) as (process, addresses):
        assert answers(addresses["http"], end) == before
        stop(process)
    services = before["/api/services"]
    assert isinstance(services, dict)
    assert [service["name"] for service in services["services"]] == ["api", "frontend", "nginx"]
