"""What the agent costs nginx: throughput and latency under wrk, with and without the agent, in one interleaved run.

    sudo .venv/bin/python -m bench.nginx_overhead [--rounds 5] [--seconds 4] [--tls]

nginx has one worker and answers small requests as fast as it can, wrk asks on 20 connections that stay open. In each
round every way of watching has its turn, in an order that changes from round to round; compare the ratios, not the
rounds. Load, nginx, agent and a backend that throws everything away share the processors, so with few of them the
agent's own work counts against nginx, too.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.agent.export.collector import Collector
from tests.e2e.programs import PROGRAMS, program, read_line

WAYS = {
    "no agent": None,
    "agent without HTTP": {"kernel": {"unavailable_hooks": ["tcp_destroy"]}, "tls": {"enabled": False}},
    "agent": {},
}
"""Without the end of sockets no socket is watched: neither stages nor payload, only system calls."""
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{ listen 127.0.0.1:{port}{tls}; location / {{ return 200 "{body}"; }} }}
}}
"""
TLS = " ssl; ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key"
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Run:
    """What wrk, and the agent, say of one run."""

    rate: float
    """Requests per second."""
    median: float
    """Seconds."""
    slowest: float
    """Seconds; 99 of 100 were faster."""
    agent_seconds: float
    """Of the processor."""
    requests: int
    told: int
    """Exchanges, of both ends."""
    lost: dict[str, int]


@contextmanager
def nginx(folder: Path, port: int, *, tls: bool) -> Iterator[None]:
    """One worker that answers on a port."""
    if tls:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        command += ["-keyout", f"{folder}/key", "-out", f"{folder}/certificate"]
        subprocess.run(command, check=True, capture_output=True)
    text = CONFIGURATION.format(folder=folder, port=port, body="x" * 512, tls=TLS.format(folder=folder) if tls else "")
    (folder / "nginx.conf").write_text(text)
    with program(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")]) as server:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        while subprocess.run(["curl", "-sko", "/dev/null", url], check=False).returncode:
            if server.poll() is not None:
                raise SystemExit((folder / "errors").read_text())
            time.sleep(0.05)
        yield


def wrk(url: str, seconds: float) -> tuple[float, float, float, int]:
    """(requests per second, median and 99th percentile of latencies in seconds, requests)."""
    command = ["wrk", "-t1", "-c20", f"-d{seconds:g}s", "--latency", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    requests = re.search(r"(\d+) requests in", said)
    latencies = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+\w+)", said, re.MULTILINE))
    if rate is None or requests is None or set(latencies) != {"50", "99"}:
        raise SystemExit(f"wrk said something else:\n{said}")
    return float(rate[1]), _seconds(latencies["50"]), _seconds(latencies["99"]), int(requests[1])


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr] # what was matched before
    return float(number) * _UNITS[unit]


def measure(url: str, seconds: float, settings: dict[str, object] | None, backend: int, folder: Path) -> Run:
    """One run, watched or not."""
    if settings is None:
        rate, median, slowest, requests = wrk(url, seconds)
        return Run(rate, median, slowest, 0.0, requests, 0, {})
    (folder / "agent.yaml").write_text(json.dumps(settings))
    report = folder / "figures.json"
    command = [PROGRAMS / "pyrover-agent", "run", "--config", str(folder / "agent.yaml")]
    command += ["--backend", f"127.0.0.1:{backend}", "--flush-period", "1s", "--figures", str(report)]
    with program(command, stderr=subprocess.PIPE) as agent:
        if agent.stderr is None:
            raise AssertionError
        read_line(agent.stderr.fileno(), "the agent")
        time.sleep(2)  # the libraries of what runs here are found in the background
        watched = psutil.Process(agent.pid)
        before = watched.cpu_times()
        rate, median, slowest, requests = wrk(url, seconds)
        after = watched.cpu_times()
        agent.terminate()
        agent.wait(60)
    figures = json.loads(report.read_text())
    spent = after.user + after.system - before.user - before.system
    lost = {**figures["losses"], **figures["incomplete"]}
    told = figures.get("exchanges", 0)
    return Run(rate, median, slowest, spent, requests, told, {cause: count for cause, count in lost.items() if count})


def main() -> int:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="length of each run (default: %(default)s)")
    parser.add_argument("--port", type=int, default=18080, help="of nginx (default: %(default)s)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    options = parser.parse_args()
    url = f"{'https' if options.tls else 'http'}://127.0.0.1:{options.port}/"
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    collector = Collector()
    with (
        tempfile.TemporaryDirectory() as name,
        nginx(Path(name), options.port, tls=options.tls),
        collector.serve() as backend,
    ):
        for turn in range(options.rounds):
            ways = list(WAYS)
            for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
                run = measure(url, options.seconds, WAYS[way], backend, Path(name))
                runs[way].append(run)
                collector.accepted.clear()
                print(f"round {turn + 1}, {way}: {run.rate:,.0f} requests/s", file=sys.stderr, flush=True)
    base = [run.rate for run in runs["no agent"]]
    print(f"{'':20} {'requests/s':>11} {'ratio':>6} {'p50 us':>7} {'p99 us':>8} {'agent us/request':>17}  lost")
    for way, measured in runs.items():
        ratios = [run.rate / bare for run, bare in zip(measured, base, strict=True)]
        spent = [run.agent_seconds / run.requests * 1e6 for run in measured]
        lost: dict[str, int] = {}
        for run in measured:
            lost |= {cause: lost.get(cause, 0) + count for cause, count in run.lost.items()}
        print(
            f"{way:20} {statistics.median(run.rate for run in measured):11,.0f} {statistics.median(ratios):6.2f}"
            f" {statistics.median(run.median for run in measured) * 1e6:7.0f}"
            f" {statistics.median(run.slowest for run in measured) * 1e6:8.0f} {statistics.median(spent):17.1f}"
            f"  {', '.join(f'{cause} {count:,}' for cause, count in lost.items()) or 'none'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
