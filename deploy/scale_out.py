"""Several backends behind one address of this machine, with one ClickHouse: a deployment to try, and to read.

    .venv/bin/python deploy/scale_out.py [--backends 2] [--clickhouse HOST:PORT]

Starts a ClickHouse server of its own unless one is named, then the backends. All of them listen on the same two ports;
the kernel spreads connections over them. Each has a further port for Prometheus, as what a backend counts is its own.
It says where everything is once all of them are ready, and stops them all when it is stopped, or when one of them ends.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "deploy" / "clickhouse" / "config.xml"
STOP_SECONDS = 30
START_SECONDS = 60


class Stopped(Exception):  # noqa: N818 - an event, not an error
    """The user asked to stop."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def start_clickhouse(state: Path, host: str, port: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens; its data and its log are in `state`."""
    program = shutil.which("clickhouse-server") or shutil.which("clickhouse-server", path="/usr/bin:/usr/sbin")
    if program is None:
        raise SystemExit("clickhouse-server is not installed: install it, or name a server with --clickhouse HOST:PORT")
    environment = {
        "CLICKHOUSE_HOST": host,
        "CLICKHOUSE_PORT": str(port),
        "CLICKHOUSE_DATA": f"{state / 'clickhouse'}/",
        "CLICKHOUSE_TEMPORARY": f"{state / 'clickhouse-temporary'}/",
    }
    log = state / "clickhouse.log"
    with log.open("ab") as output:
        server = subprocess.Popen(
            [program, f"--config-file={CONFIGURATION}"],
            cwd=state,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with _stopped_unless_ready("ClickHouse", server):
        last = time.monotonic() + START_SECONDS
        while not _listens(host, port):
            if server.poll() is not None:
                raise SystemExit(f"ClickHouse ended at its start, with status {server.returncode}: {log} says why")
            if time.monotonic() > last:
                raise SystemExit(f"ClickHouse does not listen after {START_SECONDS} s: {log} may say why")
            time.sleep(0.1)  # a server says nothing when it begins to listen
    return server


@contextmanager
def _stopped_unless_ready(name: str, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave nothing behind when the start does not come to its end, as when the user stops it."""
    try:
        yield
    except BaseException:
        _ignore_signals()
        stop(name, process)
        raise


def _ignore_signals() -> None:
    """A second Ctrl-C must not leave programs behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def start_backend(log: Path, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a backend and wait until it is ready; the process, and its addresses."""
    reading, writing = os.pipe()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve", "--ready-fd", str(writing)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            pass_fds=(writing,),
            start_new_session=True,
        )
    with _stopped_unless_ready("A backend", process):
        os.close(writing)
        with os.fdopen(reading) as ready:
            line = ready.readline()
        if not line:  # end of file: it exited
            raise SystemExit(f"A backend ended at its start, with status {process.wait()}: {log} says why")
    addresses: dict[str, str] = json.loads(line)
    return process, addresses


def stop(name: str, process: subprocess.Popen[bytes]) -> None:
    """Ask a program to finish, and wait for it."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"{name} did not stop within {STOP_SECONDS} s and was killed", file=sys.stderr)
        process.kill()
        process.wait()


def main() -> int:
    """Run until stopped; 0 when it was stopped, 1 when something ended by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", type=int, default=2, help="how many (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--grpc-port", type=int, default=11800, help="for agents (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=12800, help="for questions (default: %(default)s)")
    parser.add_argument(
        "--metrics-port", type=int, default=1234, help="of the first backend, for Prometheus; the others have the next"
        " ones (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--clickhouse", metavar="HOST:PORT", help="a server that runs already")
    parser.add_argument("--clickhouse-port", type=int, default=9000, help="of the server started here")
    parser.add_argument("--cluster", default="", help="the cluster of that server over whose shards tables are spread")
    parser.add_argument("--state", type=Path, default=ROOT / ".run" / "scale-out", help="folder for data and logs")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with ExitStack() as started:
        try:
            return run(options, started)
        except Stopped:
            print("Stopping.", flush=True)
            return 0
        finally:
            _ignore_signals()


def run(options: argparse.Namespace, started: ExitStack) -> int:
    """Start everything and wait until something ends."""
    ended = threading.Semaphore(0)

    def watch(name: str, process: subprocess.Popen[bytes]) -> None:
        started.callback(stop, name, process)

        def tell_the_end() -> None:
            process.wait()
            ended.release()

        threading.Thread(target=tell_the_end, daemon=True).start()

    clickhouse = options.clickhouse
    if clickhouse is None:
        clickhouse = f"127.0.0.1:{options.clickhouse_port}"
        watch("ClickHouse", start_clickhouse(options.state, "127.0.0.1", options.clickhouse_port))
    server, _, port = clickhouse.rpartition(":")
    grpc_port, http_port = options.grpc_port, options.http_port
    for number in range(options.backends):
        environment = {
            "PYROVER_BACKEND_HOST": options.host,
            "PYROVER_BACKEND_GRPC_PORT": str(grpc_port),
            "PYROVER_BACKEND_HTTP_PORT": str(http_port),
            "PYROVER_BACKEND_SHARE_PORTS": "true",
            "PYROVER_BACKEND_PROMETHEUS_KIND": "prometheus",
            "PYROVER_BACKEND_PROMETHEUS_PORT": str(options.metrics_port + number if options.metrics_port else 0),
            "PYROVER_BACKEND_STORE_KIND": "clickhouse",
            "PYROVER_BACKEND_STORE_CLICKHOUSE_HOST": server,
            "PYROVER_BACKEND_STORE_CLICKHOUSE_PORT": port,
            "PYROVER_BACKEND_STORE_CLICKHOUSE_CLUSTER": options.cluster,
            "PYROVER_BACKEND_DATA": str(options.state / "data"),
        }
        log = options.state / f"backend-{number + 1}.log"
        process, addresses = start_backend(log, environment)
        watch(f"Backend {number + 1}", process)
        # Ports that the system chose for the first are those of all.
        grpc_port, http_port = (int(addresses[name].rpartition(":")[2]) for name in ("grpc", "http"))
        print(f"backend {number + 1}: process {process.pid}, log {log}", flush=True)
    where = f"agents {options.host}:{grpc_port}, console http://{options.host}:{http_port}/"
    print(f"ready: {where}   (Ctrl-C stops)", flush=True)
    ended.acquire()
    print("A program ended by itself; the others are stopped.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
