"""What the agent costs nginx: throughput and latency under wrk, with and without the agent, in one interleaved run.

    sudo .venv/bin/python -m bench.nginx_overhead [--rounds 5] [--seconds 4] [--rate 0] [--tls] [--load wrk]

nginx has one worker and answers small requests, wrk asks on 20 connections that stay open: as fast as it can, or about
`--rate` times a second. Then each connection pauses between an answer and the next request, for a random time, and a
latency is that of a request alone; and what the agent has told of is counted.
With `--load h2load` it is h2load that asks, over HTTP/2, one stream at a time on each connection. In each round every
way of watching has its turn, for each attach mode that this machine has, in an order that changes from round to round;
compare the ratios, not the rounds. Load, nginx, agent and a backend that throws everything away share the processors,
so with few of them the agent's own work counts against nginx, too.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.report import Report
from bench.stage_cost import available_modes
from tests.agent.export.collector import Collector
from tests.e2e.http.watching import read_exchanges
from tests.e2e.programs import PROGRAMS, program, read_line

NO_AGENT = "no agent"
WITHOUT_HTTP: dict[str, Any] = {"kernel": {"unavailable_hooks": ["tcp_destroy"]}, "tls": {"enabled": False}}
"""Without the end of sockets no socket is watched: neither stages nor payload, only system calls."""
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{ listen 127.0.0.1:{port}{kind}; location / {{ return 200 "{body}"; }} }}
}}
"""
TLS = " ssl; ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key"
CONNECTIONS = 20
PAUSES = "math.randomseed(os.time())\nfunction delay() return math.random() * {longest_ms} end\n"
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
    nginx_seconds: float
    """Of the processor, in nginx and in what the kernel does for it."""
    agent_seconds: float
    """Same, of the agent."""
    requests: int
    told: int
    """Exchanges, of both ends; counted where a rate was asked for."""
    lost: dict[str, int]


@contextmanager
def nginx(folder: Path, port: int, *, tls: bool, http2: bool = False) -> Iterator[psutil.Process]:
    """One worker that answers on a port; its process."""
    if tls:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        command += ["-keyout", f"{folder}/key", "-out", f"{folder}/certificate"]
        subprocess.run(command, check=True, capture_output=True)
    kind = (" http2" if http2 else "") + (TLS.format(folder=folder) if tls else "")
    text = CONFIGURATION.format(folder=folder, port=port, body="x" * 512, kind=kind)
    (folder / "nginx.conf").write_text(text)
    with program(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")]) as server:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        asks = ["curl", "-sko", "/dev/null", *(["--http2-prior-knowledge"] if http2 else []), url]
        while subprocess.run(asks, check=False).returncode:
            if server.poll() is not None:
                raise SystemExit((folder / "errors").read_text())
            time.sleep(0.05)
        yield psutil.Process(server.pid)


def pauses(folder: Path, rate: float) -> list[str]:
    """Options that make wrk ask about so many times a second; at any rate where that is 0."""
    if not rate:
        return []
    script = folder / "pauses.lua"
    script.write_text(PAUSES.format(longest_ms=2 * 1000 * CONNECTIONS / rate))
    return ["-s", str(script)]


def wrk(url: str, seconds: float, options: Sequence[str]) -> tuple[float, float, float, int]:
    """(requests per second, median and 99th percentile of latencies in seconds, requests)."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", *options, url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    requests = re.search(r"(\d+) requests in", said)
    latencies = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+\w+)", said, re.MULTILINE))
    if rate is None or requests is None or set(latencies) != {"50", "99"}:
        raise SystemExit(f"wrk said something else:\n{said}")
    return float(rate[1]), _seconds(latencies["50"]), _seconds(latencies["99"]), int(requests[1])


def h2load(url: str, seconds: float, log: Path) -> tuple[float, float, float, int]:
    """The same over HTTP/2; h2load writes how long each request took."""
    log.unlink(missing_ok=True)
    command = ["h2load", "-t1", f"-c{CONNECTIONS}", "-m1", f"-D{seconds:g}", f"--log-file={log}", url]
    subprocess.run(command, check=True, capture_output=True)
    answered = [line.split("\t") for line in log.read_text().splitlines()]
    if not answered or any(status != "200" for _, status, _ in answered):
        raise SystemExit(f"nginx has not answered every request: {len(answered)} answers, see {url}")
    latencies = sorted(int(microseconds) for _, _, microseconds in answered)
    median, slowest = (latencies[len(latencies) * share // 100] / 1e6 for share in (50, 99))
    return len(answered) / seconds, median, slowest, len(answered)


def ways(modes: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """The agent's settings for each way of watching; None where there is no agent."""
    found: dict[str, dict[str, Any] | None] = {NO_AGENT: None}
    for mode in modes:
        kernel = {"attach": mode}
        found[f"by {mode}, without HTTP"] = WITHOUT_HTTP | {"kernel": WITHOUT_HTTP["kernel"] | kernel}
        found[f"by {mode}"] = {"kernel": kernel}
    return found


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr] # what was matched before
    return float(number) * _UNITS[unit]


def spent(process: psutil.Process) -> float:
    """Seconds of the processor that a process has used so far."""
    times = process.cpu_times()
    return times.user + times.system


def measure(
    load: Callable[[], tuple[float, float, float, int]],
    server: psutil.Process,
    settings: Mapping[str, Any] | None,
    backend: int,
    folder: Path,
) -> Run:
    """One run, watched or not."""
    if settings is None:
        begin = spent(server)
        rate, median, slowest, requests = load()
        return Run(rate, median, slowest, spent(server) - begin, 0.0, requests, 0, {})
    (folder / "agent.yaml").write_text(json.dumps(settings))
    report = folder / "figures.json"
    command: list[str | Path] = [PROGRAMS / "pyrover-agent", "run", "--config", str(folder / "agent.yaml")]
    command += ["--backend", f"127.0.0.1:{backend}", "--flush-period", "1s", "--figures", str(report)]
    with program(command, stderr=subprocess.PIPE) as agent:
        if agent.stderr is None:
            raise AssertionError
        read_line(agent.stderr.fileno(), "the agent")
        time.sleep(2)  # the libraries of what runs here are found in the background
        watched = psutil.Process(agent.pid)
        begin, agent_begin = spent(server), spent(watched)
        rate, median, slowest, requests = load()
        nginx_seconds, agent_seconds = spent(server) - begin, spent(watched) - agent_begin
        agent.terminate()
        agent.wait(60)
    figures = json.loads(report.read_text())
    lost = {cause: count for cause, count in {**figures["losses"], **figures["incomplete"]}.items() if count}
    return Run(rate, median, slowest, nginx_seconds, agent_seconds, requests, 0, lost)


def told(collector: Collector, port: int) -> int:
    """How many exchanges with a server's port the agent has told of, from both ends."""
    batches = list(collector.accepted.values())
    return sum(one.port == port for messages in batches for one in read_exchanges(messages))


def main() -> int:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="length of each run (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0, help="requests per second; 0 for all there can be (default)")
    parser.add_argument("--port", type=int, default=18080, help="of nginx (default: %(default)s)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--load", choices=("wrk", "h2load"), default="wrk", help="who asks (default: %(default)s)")
    options = parser.parse_args()
    is_http2 = options.load == "h2load"
    if is_http2 and options.rate:
        parser.error("h2load knows no rate of requests: leave out --rate, or use --load wrk")
    url = f"{'https' if options.tls else 'http'}://127.0.0.1:{options.port}/"
    watched = ways(available_modes())
    runs: dict[str, list[Run]] = {way: [] for way in watched}
    collector = Collector()
    with (
        tempfile.TemporaryDirectory() as name,
        nginx(Path(name), options.port, tls=options.tls, http2=is_http2) as server,
        collector.serve() as backend,
    ):
        load = (
            partial(h2load, url, options.seconds, Path(name) / "requests")
            if is_http2
            else partial(wrk, url, options.seconds, pauses(Path(name), options.rate))
        )
        for turn in range(options.rounds):
            order = list(watched)
            for way in order[turn % len(order) :] + order[: turn % len(order)]:
                run = measure(load, server, watched[way], backend, Path(name))
                if options.rate:
                    run = replace(run, told=told(collector, options.port))
                runs[way].append(run)
                collector.accepted.clear()
                print(f"round {turn + 1}, {way}: {run.rate:,.0f} requests/s", file=sys.stderr, flush=True)
    base = [run.rate for run in runs[NO_AGENT]]
    kind = f"{options.rounds} rounds of {options.seconds:g} s, rate {options.rate:g}"
    kind += (", TLS" if options.tls else "") + (", HTTP/2" if is_http2 else "")
    report = Report("nginx_overhead", kind)
    for way, measured in runs.items():
        lost: dict[str, int] = {}
        for run in measured:
            lost |= {cause: lost.get(cause, 0) + count for cause, count in run.lost.items()}
        figures = {
            "requests/s": statistics.median(run.rate for run in measured),
            "of bare": statistics.median(run.rate / bare for run, bare in zip(measured, base, strict=True)),
            "p50 us": statistics.median(run.median for run in measured) * 1e6,
            "p99 us": statistics.median(run.slowest for run in measured) * 1e6,
            "agent us/request": statistics.median(run.agent_seconds / run.requests for run in measured) * 1e6,
            "nginx us/request": statistics.median(run.nginx_seconds / run.requests for run in measured) * 1e6,
            "told %": 100 * sum(run.told for run in measured) / sum(2 * run.requests for run in measured),
        }
        said = ", ".join(f"{cause} {count:,}" for cause, count in lost.items()) or "nothing"
        report.row(way, figures, f"lost: {said}")
    print(report.finish())
    return 0


if __name__ == "__main__":
    sys.exit(main())
