"""Backend and agent together on this machine, for `make run`: start both, show the agent's live line, stop both.

    scripts/run.py [--for 20s]

The backend runs as the user who calls; the agent needs root and is started by sudo when the caller is not root.
Only the standard library is used, so that this can say something useful when the set-up is broken.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / ".venv" / "bin"
STOP_SECONDS = 20


class Stopped(Exception):  # noqa: N818 - an event, not an error
    """The user asked to stop."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _ignore_signals() -> None:
    """A second Ctrl-C must not leave programs behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _log_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except SystemExit as failure:
        lines = path.read_text(errors="replace").splitlines()[-15:] if path.exists() else []
        for line in lines:
            print(f"  {line}", file=sys.stderr)
        print(f"{failure.code} The whole log: {path}", file=sys.stderr)
        raise SystemExit(1) from failure


def start_backend(state: Path, grpc_port: int, http_port: int) -> subprocess.Popen[bytes]:
    """Start the backend and wait until it answers; its store and its log are in `state`."""
    log = state / "backend.log"
    ready, announce = os.pipe()
    ports = ["--grpc-port", str(grpc_port), "--http-port", str(http_port)]
    told: list[str | Path] = ["--data", state / "data", "--ready-fd", str(announce)]
    command = [PROGRAMS / "pyrover-backend", "serve", *told, *ports]
    with log.open("wb") as output, _log_on_failure(log):
        # A session of its own: Ctrl-C must not stop it before the agent has delivered its last logs.
        backend = subprocess.Popen(
            command, stdout=output, stderr=output, pass_fds=(announce,), start_new_session=True, cwd=ROOT
        )
        try:
            os.close(announce)
            with os.fdopen(ready, "rb") as pipe:
                if not pipe.readline():  # end of file: it exited
                    raise SystemExit(f"The backend stopped at start, with status {backend.wait()}.")
        except Stopped:
            _ignore_signals()
            stop("backend", backend)
            raise
    return backend


def start_agent(grpc_port: int, seconds: str | None) -> subprocess.Popen[bytes]:
    """Start the agent; it writes its live line to this program's standard output.

    It stays on this program's terminal: sudo may have to ask for a password there.
    """
    command: list[str | Path] = [] if os.geteuid() == 0 else ["sudo", "--preserve-env"]
    command += [PROGRAMS / "pyrover-agent", "run", "--live", "--flush-period", "1s"]
    command += ["--backend", f"127.0.0.1:{grpc_port}"]
    if seconds:
        command += ["--for", seconds]
    return subprocess.Popen(command, cwd=ROOT)


def stop(name: str, process: subprocess.Popen[bytes]) -> int:
    """Ask a program to finish and wait for it; its exit status."""
    if process.poll() is None:
        try:
            process.terminate()
        except PermissionError:  # sudo runs as root; it passes the signal on
            subprocess.run(["sudo", "kill", str(process.pid)], check=False)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"The {name} did not stop within {STOP_SECONDS} s and was killed.", file=sys.stderr)
        process.kill()
        process.wait()
        return 1


def main() -> int:
    """Run until the agent ends or the user stops it; 0 when both ended cleanly."""
    parser = argparse.ArgumentParser(prog="make run", description="Run the backend and the agent on this machine.")
    parser.add_argument("--for", dest="seconds", metavar="DURATION", help="stop after this long, such as 20s or 5m")
    parser.add_argument("--grpc-port", type=int, default=11800, help="where the agent sends (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=12800, help="where the console is (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=ROOT / ".run", help="folder of the store and the backend's log")
    options = parser.parse_args()
    options.state.mkdir(exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    agent: subprocess.Popen[bytes] | None = None
    backend: subprocess.Popen[bytes] | None = None
    statuses: dict[str, int] = {}
    try:
        backend = start_backend(options.state, options.grpc_port, options.http_port)
        print(f"Console: http://127.0.0.1:{options.http_port}/   (Ctrl-C stops)", flush=True)
        agent = start_agent(options.grpc_port, options.seconds)
        statuses["agent"] = agent.wait()
    except Stopped:
        print("\nStopping.", flush=True)
    finally:
        _ignore_signals()
        if agent is not None:
            statuses["agent"] = stop("agent", agent)
        if backend is not None:
            statuses["backend"] = stop("backend", backend)
    for name, status in statuses.items():
        if status:
            print(f"The {name} ended with status {status}.", file=sys.stderr)
    return 1 if any(statuses.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
