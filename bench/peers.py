"""What other programs that watch HTTP cost for the same requests, beside the agent, in one interleaved run.

    sudo .venv/bin/python -m bench.peers [--rounds 3] [--seconds 5] [--rate 1000]

nginx answers small requests and wrk asks about `--rate` times a second on 20 connections, as in nginx_overhead.py. In
each round nobody watches, then the agent, then each of these programs of Debian's that is installed:

* `tshark` (package tshark): captures packets, and prints each answer with its path, status and duration;
* `httpry` (package httpry): captures packets, and writes a line for each request and each answer;
* `bpftrace` (package bpftrace): prints a line for each read and write of the two programs, and knows nothing of HTTP.
  It is what the least of the work costs: no connections, no addresses, no stages.

The agent tells each exchange from both ends, with the connection, its programs and the stages of each read and write,
and sends that to a backend; and it watches whatever else runs on the machine. `told` is what came of what each could
have told: of both ends for the agent, of one end for those that capture packets, of four transfers for bpftrace.
"""

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from bench.nginx_overhead import Run, measure, nginx, pauses, spent, told, wrk
from bench.report import Report
from tests.agent.export.collector import Collector
from tests.e2e.programs import program, read_line
from tests.waiting import PATIENCE

NOBODY, AGENT = "nobody", "pyrover-agent"
TRANSFERS = ("read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg")


@dataclass(frozen=True)
class Peer:
    """Another program that watches.

    Attributes:
        name: Of the program.
        command: How it is started; `{port}` is that of nginx, `{file}` what it writes.
        begins: What it says on its standard error output when it has begun.
        tells: A line of what it writes that tells of a request, or of a part of one.
        parts: How many such lines there are for a request.
    """

    name: str
    command: tuple[str, ...]
    begins: str
    tells: str
    parts: int


PEERS = (
    Peer(
        "tshark",
        (
            *("tshark", "-i", "lo", "-f", "tcp port {port}", "-Y", "http.response", "-l", "-T", "fields"),
            *("-e", "http.response_for.uri", "-e", "http.response.code", "-e", "http.time"),
        ),
        "Capture started",
        r"\t200\t",
        1,
    ),
    Peer(
        "httpry",
        (
            *("httpry", "-i", "lo", "-o", "{file}"),
            *("-f", "timestamp,source-ip,dest-ip,direction,method,host,request-uri,status-code", "tcp port {port}"),
        ),
        "Starting capture",
        r"\t200$",
        1,
    ),
    Peer(
        "bpftrace",
        (
            *("bpftrace", "-o", "{file}", "-e"),
            'BEGIN { system("echo begun >&2"); } '
            + ",".join(f"tracepoint:syscalls:sys_exit_{name}" for name in TRANSFERS)
            + ' /(comm == "nginx" || comm == "wrk") && args->ret > 0/'
            + ' { printf("%llu %d %d %s %d\\n", nsecs, pid, tid, probe, args->ret); }',
            "--unsafe",
        ),
        "begun\n",  # without the end of the line it stands in the program, too, which an error shows
        "^[0-9]+ [0-9]+ [0-9]+ tracepoint:",
        4,
    ),
)


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A program and those that it started."""
    return [process, *process.children(recursive=True)]


def settle(file: Path) -> None:
    """Wait until a file has not grown for a second: packets are captured by the block, and written later."""
    size, since = -1, 0.0
    while time.monotonic() - since < 1:
        if file.stat().st_size != size:
            size, since = file.stat().st_size, time.monotonic()
        time.sleep(0.05)


def watch(
    peer: Peer, load: Callable[[], tuple[float, float, float, int]], server: psutil.Process, port: int, folder: Path
) -> Run:
    """One run that a peer watches; what it lost is for it to say, and not asked for."""
    file = folder / f"{peer.name}.out"
    file.unlink(missing_ok=True)
    command = [word.replace("{port}", str(port)).replace("{file}", str(file)) for word in peer.command]
    with (
        file.open("wb") as output,
        program(command, stdout=output, stderr=subprocess.PIPE) as watching,
    ):
        if watching.stderr is None:
            raise AssertionError
        while peer.begins not in read_line(watching.stderr.fileno(), peer.name):
            pass
        time.sleep(2)  # what they say comes before the first packet or call is seen
        watched = tree(psutil.Process(watching.pid))
        begin, peer_begin = spent(server), sum(map(spent, watched))
        rate, median, slowest, requests = load()
        nginx_seconds, peer_seconds = spent(server) - begin, sum(map(spent, watched)) - peer_begin
        settle(file)
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=PATIENCE)
    lines = len(re.findall(peer.tells, file.read_text(errors="replace"), re.MULTILINE))
    # As if of both ends, like the agent's: so that one share is computed for all.
    return Run(rate, median, slowest, nginx_seconds, peer_seconds, requests, 2 * lines // peer.parts, {})


def installed(peers: Sequence[Peer]) -> list[Peer]:
    """Those that this machine has; the others are named."""
    found = [peer for peer in peers if shutil.which(peer.name)]
    for peer in peers:
        if peer not in found:
            print(f"{peer.name} is not installed, so it is left out: apt-get install {peer.name}", file=sys.stderr)
    return found


def main() -> int:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="length of each run (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000, help="requests per second; 0 for all there can be")
    parser.add_argument("--port", type=int, default=18081, help="of nginx (default: %(default)s)")
    options = parser.parse_args()
    collector = Collector()
    runs: dict[str, list[Run]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        nginx(Path(name), options.port, tls=False) as server,
        collector.serve() as backend,
    ):
        folder = Path(name)
        url = f"http://127.0.0.1:{options.port}/"
        load = partial(wrk, url, options.seconds, pauses(folder, options.rate))
        ways: dict[str, Callable[[], Run]] = {
            NOBODY: partial(measure, load, server, None, backend, folder),
            AGENT: partial(measure, load, server, {}, backend, folder),
        }
        for peer in installed(PEERS):
            ways[peer.name] = partial(watch, peer, load, server, options.port, folder)
        for turn in range(options.rounds):
            order = list(ways)
            for way in order[turn % len(order) :] + order[: turn % len(order)]:
                run = ways[way]()
                if way == AGENT:
                    run = replace(run, told=told(collector, options.port))
                    collector.accepted.clear()
                runs.setdefault(way, []).append(run)
                print(f"round {turn + 1}, {way}: {run.rate:,.0f} requests/s", file=sys.stderr, flush=True)
    report = Report("peers", f"{options.rounds} rounds of {options.seconds:g} s, rate {options.rate:g}")
    for way in ways:
        measured = runs[way]
        report.row(
            way,
            {
                "requests/s": statistics.median(run.rate for run in measured),
                "p50 us": statistics.median(run.median for run in measured) * 1e6,
                "p99 us": statistics.median(run.slowest for run in measured) * 1e6,
                "watcher us/request": statistics.median(run.agent_seconds / run.requests for run in measured) * 1e6,
                "nginx us/request": statistics.median(run.nginx_seconds / run.requests for run in measured) * 1e6,
                "told %": 100 * sum(run.told for run in measured) / sum(2 * run.requests for run in measured),
            },
        )
    print(report.finish())
    return 0


if __name__ == "__main__":
    sys.exit(main())
