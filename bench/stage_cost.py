"""What watching costs a write and a read over TCP, for each way of attaching that this machine has.

    sudo .venv/bin/python -m bench.stage_cost [--rounds 5] [--calls 20000] [--modes "fentry kprobe tracepoint"]

A small C program sends bytes over a loopback connection and reads them, in turn without programs, with those at the
system calls only, and with those at all stages. Beside the time of a round there is the time that the kernel itself
counts inside the programs (bpf_stats). Needs root, BCC and a C compiler. Run it on an idle machine. On an emulated
processor, where loading the programs takes a minute each time, 2,000 calls a round are enough.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.kernel import bpf_programs
from agent.kernel.plan import AttachMode, examine_kernel
from agent.kernel.source import KernelSource
from agent.kernel.stage_hooks import STAGE_HOOKS
from bench.report import Report

SIZES = (1, 16384)
RING_FOR_ALL = 64 << 20  # nothing is taken while the calls are timed, and a lost event would be cheaper
MODES = ("fentry", "kprobe", "tracepoint")
SOURCE = r"""
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words)
{
    long calls = atol(words[1]), size = atol(words[2]), failed = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct timespec begin, end;
    char *data = calloc(1, size);

    bind(listener, (void *)&address, length);
    listen(listener, 1);
    getsockname(listener, (void *)&address, &length);
    connect(client, (void *)&address, length);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int server = accept(listener, NULL, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < calls; i++)
        failed += send(client, data, size, 0) != size || recv(server, data, size, MSG_WAITALL) != size;
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((end.tv_sec - begin.tv_sec) * 1e9 + end.tv_nsec - begin.tv_nsec) / calls);
    return count != 3 || failed;
}
"""


def available_modes() -> list[str]:
    """The ways of attaching that this kernel has."""
    offer = examine_kernel()
    refused = {"fentry": offer.fentry, "kprobe": offer.kprobe, "tracepoint": offer.tracepoint}
    return [mode for mode in MODES if not refused[mode]]


def build(folder: Path) -> Path:
    """The C program, compiled."""
    source, program = folder / "exchange.c", folder / "exchange"
    source.write_text(SOURCE)
    subprocess.run([shutil.which("cc") or "cc", "-O2", "-o", program, source], check=True)
    return program


def nanoseconds(program: Path, size: int, calls: int) -> float:
    """Nanoseconds for a write and the read of it."""
    answer = subprocess.run([program, str(calls), str(size)], capture_output=True, text=True, check=True)
    return float(answer.stdout)


def inside(source: KernelSource) -> int:
    """Nanoseconds that the kernel has counted inside the programs."""
    return sum(bpf_programs.program_information(descriptor).run_ns for descriptor in source.loaded.programs.values())


@contextmanager
def statistics_on() -> Iterator[None]:
    """Let the kernel time every program."""
    descriptor = bpf_programs.enable_statistics()
    try:
        yield
    finally:
        os.close(descriptor)


def measure(program: Path, source: KernelSource, size: int, calls: int) -> tuple[float, float]:
    """(ns a round, ns inside the programs a round), the second with the kernel's own timing on."""
    spent = nanoseconds(program, size, calls)
    source.take()
    with statistics_on():
        before = inside(source)
        nanoseconds(program, size, calls)
        counted = inside(source) - before
    source.take()
    return spent, counted / calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000, help="writes and as many reads a round")
    parser.add_argument("--modes", default=" ".join(MODES))
    arguments = parser.parse_args()
    modes = [mode for mode in available_modes() if mode in arguments.modes.split()]
    without: dict[int, list[float]] = defaultdict(list)
    watched: dict[tuple[int, str, str], list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for number in range(arguments.rounds):
            for size in SIZES:
                without[size].append(nanoseconds(program, size, arguments.calls))
            for mode in modes:
                for what, unavailable in (("calls", [hook.name for hook in STAGE_HOOKS]), ("stages", [])):
                    print(f"round {number + 1} of {arguments.rounds}: {what} by {mode}", file=sys.stderr, flush=True)
                    with KernelSource.open(
                        attach=AttachMode(mode),
                        unavailable=unavailable,
                        excluded_processes={os.getpid()},
                        ring_bytes=RING_FOR_ALL,
                    ) as source:
                        for size in SIZES:
                            watched[size, mode, what].append(measure(program, source, size, arguments.calls))
    report = Report(
        "stage_cost", f"{arguments.rounds} rounds of {arguments.calls:,} writes and reads, medians; {' '.join(modes)}"
    )
    for size in SIZES:
        base = statistics.median(without[size])
        report.row(f"{size:,} bytes, nothing watched", {"ns a round": base})
        for mode in modes:
            for what in ("calls", "stages"):
                spent = statistics.median(time for time, _ in watched[size, mode, what])
                counted = statistics.median(time for _, time in watched[size, mode, what])
                costs = {"ns more": spent - base, "times": spent / base, "ns in programs": counted}
                report.row(f"{size:,} bytes, {what} by {mode}", {"ns a round": spent, **costs})
    print(report.finish())


if __name__ == "__main__":
    main()
