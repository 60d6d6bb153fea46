"""Agent and backend under churn, load and faults for a while: do memory, descriptors, maps and threads stay flat?

    sudo .venv/bin/python -m bench.soak [--minutes 60] [--processes 10000] [--pods 1000] [--samples FILE]

Both are real programs with their usual settings: the agent watches the whole machine, has a spool and follows a double
of a Kubernetes API server. Programs, pods and connections come and go; nginx is asked all the time; network namespaces
are deleted while programs are in them, a TLS library is replaced on disk while a program has it mapped; the backend is
killed three times in the first half and comes back on the same address. Numbers of programs and pods are spread over
the time, so a shorter run has more of them a minute. Samples are taken every two seconds; the first quarter of the time
is warm-up, and so is what the backend needs to come to rest after it was last killed. A line a minute says how far it
is. Ends with status 1 when a figure grows or the agent's account of its logs does not balance. docs/soak.md has the
last result.
"""

import argparse
import json
import math
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from agent.export.accounting import Loss
from agent.tls.watcher import REVIEW_SECONDS
from bench.nginx_overhead import nginx, pauses
from bench.report import Report
from bench.soak_churn import NODE, Churn, Library, Pods, call, delete_network, run_program
from bench.soak_samples import GONE, PROGRAMS_OF_MACHINE, Sampler, agent_figures, process_figures
from bench.soak_verdict import Allowance, Trend, find_trend
from tests.common.kubernetes.api_server import TOKEN, ApiServer
from tests.e2e.programs import PROGRAMS, Backend, backend, program
from tests.waiting import PATIENCE

SAMPLE_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 60.0
KILLS: Final = (0.1, 0.25, 0.4)
"""When the backend is killed, as shares of the time."""
WARM_UP: Final = 0.25
"""Of the time for the agent; for the backend of what is left after it was last killed."""
LEAST_WARM_UP_SECONDS: Final = 75.0
"""Ended connections are kept for a minute (agent/connections/table.py), so tables fill for that long."""
CALLS_A_SECOND: Final = 50.0
FAULTS_A_SECOND: Final = 0.5
LOAD_A_SECOND: Final = 100.0
ALLOWANCES: Final = {
    "memory, MiB": Allowance(0.10, 8.0),
    "descriptors": Allowance(0.05, 8.0),
    "threads": Allowance(0.0, 2.0),
    "mappings": Allowance(0.05, 20.0),
    "descriptors of probes": Allowance(0.05, 16.0, REVIEW_SECONDS),
    "tls_files": Allowance(0.05, 8.0, REVIEW_SECONDS),
    "processes": Allowance(0.20, 32.0, beside=PROGRAMS_OF_MACHINE),
    "entries of excluded_processes": Allowance(0.20, 32.0, beside=PROGRAMS_OF_MACHINE),
    # One that has just ended may be seen in one sample of the table and not any more below /proc.
    GONE: Allowance(0.0, 0.5),
    PROGRAMS_OF_MACHINE: Allowance(math.inf, math.inf),
    # Packages that are dropped, or cut into several, stay until their address comes again or the table has no room.
    "entries of held_packages": Allowance(math.inf, math.inf),
    # Files that are gone stay until the table, which forgets the oldest, has no room.
    "entries of known_files": Allowance(math.inf, math.inf),
}
OTHERS: Final = Allowance(0.20, 32.0)
"""What tables hold follows what the machine does."""


@dataclass
class Store:
    """A backend that is killed and comes back on its address."""

    folder: Path
    port: int
    _stack: ExitStack = field(default_factory=ExitStack)
    _running: Backend | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        made = backend(self.folder / "data", self.folder / "backend.log", self.port)
        self._running = self._stack.enter_context(made)

    def kill(self) -> None:
        """End it without a word."""
        if self._running is not None:
            self._running.process.kill()
        self._stack.close()

    def figures(self) -> dict[str, float]:
        """What it holds.

        Raises:
            OSError: It does not run at the moment.
        """
        if self._running is None:
            raise ProcessLookupError("the backend has not been started")
        return process_figures(self._running.process.pid)


def free_port() -> int:
    """A port of the loopback address that nobody listens on: the backend must come back on its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def write_settings(folder: Path, cluster: str, store: int, telemetry: int) -> Path:
    """The agent's settings."""
    kubeconfig = {
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    following = {"active": True, "node_name": NODE, "kubeconfig": str(folder / "kubeconfig")}
    settings = {
        "core": {"cluster_name": "soak", "backend": {"addr": f"127.0.0.1:{store}"}},
        "access_log": {"flush": {"period": "2s"}},
        "process_discovery": {"kubernetes": following},
        "spool": {"folder": str(folder / "spool")},
        "telemetry": {"address": f"127.0.0.1:{telemetry}"},
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@contextmanager
def attached(settings: Path, report: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """An agent that is attached to the kernel."""
    command: list[str | Path] = [PROGRAMS / "pyrover-agent", "run", "--config", settings, "--figures", report]
    with log.open("wb") as output, program(command, stderr=output) as running:
        end = time.monotonic() + PATIENCE
        while b"hooks" not in log.read_bytes():
            if running.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the agent does not start; it said:\n{log.read_text()}")
            time.sleep(0.05)
        yield running


@contextmanager
def asked(folder: Path, port: int, seconds: float) -> Iterator[None]:
    """Have nginx answer steady requests over connections that stay open."""
    with nginx(folder, port, tls=False):
        command = [
            "wrk",
            "-t1",
            "-c20",
            f"-d{seconds:.0f}s",
            *pauses(folder, LOAD_A_SECOND),
            f"http://127.0.0.1:{port}/",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as load:
            try:
                yield
            finally:
                load.kill()


@dataclass
class Result:
    """What is known at the end."""

    sampler: Sampler
    churn: Churn
    last_kill: float
    seconds: float
    final: dict[str, Any]


def soak(minutes: float, processes: int, pods: int, folder: Path) -> Result:
    """Run everything for a while."""
    seconds = minutes * 60
    web, store_port, telemetry = free_port(), free_port(), free_port()
    server, churn, store = ApiServer(), Churn(), Store(folder, store_port)
    report = folder / "figures.json"
    with ExitStack() as stack:
        cluster = stack.enter_context(server.serving())
        store.start()
        stack.callback(store.kill)
        settings = write_settings(folder, cluster, store_port, telemetry)
        running = stack.enter_context(attached(settings, report, folder / "agent.log"))
        (folder / "nginx").mkdir()
        stack.enter_context(asked(folder / "nginx", web, seconds + 60))
        life = Pods(server, web)
        stack.callback(life.close)
        library = Library(folder / "library", find_library())
        stack.callback(churn.stop)
        churn.start("programs", processes / seconds, run_program)
        churn.start("pods", pods / seconds, life.churn)
        churn.start("connections", CALLS_A_SECOND, lambda _: call(web))
        churn.start("networks deleted", FAULTS_A_SECOND, delete_network)
        churn.start("libraries replaced", FAULTS_A_SECOND, library.replace)
        sources: dict[str, Callable[[], dict[str, float]]] = {
            "agent": partial(agent_figures, running.pid, telemetry),
            "backend": store.figures,
        }
        sampler = Sampler(sources, SAMPLE_SECONDS)
        stack.callback(sampler.stop)
        for share in KILLS:
            wait_until(share * seconds, sampler, seconds)
            store.kill()
            churn.done["backend killed"] += 1
            time.sleep(2)  # the agent meets a closed port for a moment
            store.start()
        last_kill = sampler.passed()
        seconds = max(seconds, last_kill + seconds / 2)  # starts take longer than planned on a busy machine
        wait_until(seconds, sampler, seconds)
        sampler.stop()
        churn.stop()
        running.terminate()
        if running.wait(120):
            raise SystemExit(f"the agent ended with status {running.returncode}")
    return Result(sampler, churn, last_kill, seconds, json.loads(report.read_text()))


def wait_until(passed: float, sampler: Sampler, whole: float) -> None:
    """Wait until as many seconds of the whole time have passed, and say each minute how far it is."""
    while (left := passed - sampler.passed()) > 0:
        time.sleep(min(left, PROGRESS_SECONDS))
        held = ", ".join(f"{name} {figures['memory, MiB']:.1f} MiB" for name, figures in sampler.latest().items())
        print(f"minute {sampler.passed() / 60:.0f} of {whole / 60:.0f}: {held}", file=sys.stderr)


def find_library() -> Path:
    """The TLS library that openssl uses."""
    said = subprocess.run(["ldd", "/usr/bin/openssl"], check=True, capture_output=True, text=True).stdout
    return next(Path(line.split()[2]) for line in said.splitlines() if "libssl" in line).resolve()


def judge(result: Result) -> list[tuple[str, Trend]]:
    """The trend of each figure of each program, after its warm-up."""
    begins = {
        "agent": max(WARM_UP * result.seconds, min(LEAST_WARM_UP_SECONDS, result.seconds / 2)),
        "backend": result.last_kill + WARM_UP * (result.seconds - result.last_kill),
    }
    found = []
    for watched, figures in result.sampler.values.items():
        times = result.sampler.seconds[watched]
        kept = [at for at, passed in enumerate(times) if passed >= begins[watched]]
        if not kept:
            raise SystemExit(f"{watched}: no samples after warm-up; run it for more --minutes")
        for name, values in figures.items():
            allowance = ALLOWANCES.get(name, OTHERS)
            beside = figures.get(allowance.beside)
            trend = find_trend(
                name,
                [times[at] for at in kept],
                [values[at] for at in kept],
                allowance,
                [beside[at] for at in kept] if beside else None,
            )
            found.append((watched, trend))
    return found


def main() -> int:
    """Run, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--processes", type=int, default=10_000, help="programs over the time (default: %(default)s)")
    parser.add_argument("--pods", type=int, default=1_000, help="pods over the time (default: %(default)s)")
    parser.add_argument("--samples", type=Path, help="write each sample to this file, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(options.minutes, options.processes, options.pods, Path(folder))
    if options.samples:
        options.samples.write_text(json.dumps({"seconds": result.sampler.seconds, "values": result.sampler.values}))
    trends = judge(result)
    wanted = f"{options.processes:,} programs, {options.pods:,} pods"
    report = Report("soak", f"{options.minutes:g} minutes, {wanted}")
    for watched, trend in trends:
        figures = {"first": trend.first, "last": trend.last, "most": trend.most}
        report.row(f"{watched}: {trend.name}", {**figures, "an hour": trend.hourly}, trend.verdict)
    print(report.finish())
    print("done:", ", ".join(f"{kind} {count:,}" for kind, count in sorted(result.churn.done.items())))
    print("failed:", ", ".join(f"{kind} {count:,}" for kind, count in sorted(result.churn.failed.items())) or "nothing")
    print("samples missed:", ", ".join(f"{name} {count}" for name, count in result.sampler.missed.items()))
    final = result.final
    losses = {cause: count for cause, count in final["losses"].items() if count}
    told = f"{final['captured']:,} logs captured, {final['delivered']:,} delivered, {final['waiting']:,} waiting"
    print(f"agent: {told}, lost: {losses or 'nothing'}")
    unexplained = (
        final["captured"] - final["delivered"] - final["waiting"] - sum(losses.get(cause, 0) for cause in Loss)
    )
    print(f"logs that are in none of these: {unexplained}")
    return int(unexplained != 0 or any(trend.verdict == "grows" for _, trend in trends))


if __name__ == "__main__":
    sys.exit(main())
