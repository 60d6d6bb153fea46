"""`pyrover-backend serve` at its start: what a newcomer sees, and what is said of a folder that cannot be used."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend.server.processes import ANY_PORTS, ROOT, backend, start
from tests.waiting import PATIENCE

NOBODY = 65_534


def test_a_newcomer_sees_where_it_listens_and_when_it_is_ready(tmp_path: Path) -> None:
    with backend(tmp_path) as (process, addresses):
        process.send_signal(signal.SIGTERM)
        printed, told = process.communicate(timeout=PATIENCE)
    grpc, http = addresses["grpc"], addresses["http"]
    assert printed == f"pyrover-backend is ready: gRPC {grpc}, console {http}/\n"
    [line] = told.splitlines()
    assert line.endswith(
        f" INFO backend.commands.serve: listening on {grpc} for agents and on {http.removeprefix('http://')} for"
        " questions; getting ready, which takes longer at the first start"
    )


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file", "it is no folder"),
        ("file/below", "it is no folder"),
        ("/proc/below", "No such file or directory"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    process = start(*ANY_PORTS, "--data", str(tmp_path / place))
    printed, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (2, "")
    assert told == (
        f"pyrover-backend serve: {tmp_path / place} cannot hold the store: {reason}; name another folder with --data\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
def test_a_user_who_may_write_nowhere_is_told_so(tmp_path: Path) -> None:
    """Neither compiled code nor the store can be kept, and both are told without a trace."""
    if not all(folder.stat().st_mode & 0o001 for folder in ROOT.parents):
        pytest.skip("nobody else may read this checkout")
    data = tmp_path / "data"
    command = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); from backend.cli import main"
    arguments = ["serve", *ANY_PORTS, "--data", str(data)]
    environment = {**os.environ, "HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        environment.pop(variable, None)
    told = subprocess.run(
        [sys.executable, "-c", f"{command}; raise SystemExit(main({arguments!r}))"],
        cwd="/",
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    compiled = (
        "compiled code cannot be kept, so each start takes longer: name a folder that this user may write to by the"
        " variable NUMBA_CACHE_DIR"
    )
    assert told.stderr.splitlines() == [
        compiled,
        f"pyrover-backend serve: {data} cannot hold the store: Permission denied; name another folder with --data",
    ]
