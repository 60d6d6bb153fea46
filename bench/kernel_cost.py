"""What the kernel programs cost: per system call, at start, and in memory.

    sudo .venv/bin/python -m bench.kernel_cost [--rounds 7]

A small C program repeats one system call; it runs in turn without and with the programs attached, and the medians of
all rounds are compared. Needs root, BCC and a C compiler. Run it on an idle machine: everything else counts, too.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CALLS = 300_000
RING_FOR_ALL = 64 << 20  # nothing is taken while the calls are timed, and a lost event would be cheaper
CASES = {
    "getppid (not hooked)": "none",
    "read of a file": "file",
    "recv of an empty UDP socket (EAGAIN)": "empty",
    "send or recv of one UDP byte (one event)": "event",
}
SOURCE = r"""
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int count, char **words)
{
    long calls = count > 2 ? atol(words[2]) : 0, made = calls;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int file = open("/dev/zero", O_RDONLY);
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
    char byte = 0;

    bind(server, (void *)&address, length);
    getsockname(server, (void *)&address, &length);
    connect(client, (void *)&address, length);
    double begin = now();
    if (!strcmp(words[1], "none"))
        for (long i = 0; i < calls; i++) syscall(SYS_getppid);
    else if (!strcmp(words[1], "file"))
        for (long i = 0; i < calls; i++) made -= read(file, &byte, 1) != 1;
    else if (!strcmp(words[1], "empty"))
        for (long i = 0; i < calls; i++) made -= recv(server, &byte, 1, 0) != -1;
    else
        for (long i = 0; i < calls; i += 2)
            made -= (send(client, &byte, 1, 0) != 1) + (recv(server, &byte, 1, 0) != 1);
    printf("%f\n", (now() - begin) / calls);
    return made != calls;
}
"""


def build(folder: Path) -> Path:
    """The C program, compiled."""
    source, program = folder / "calls.c", folder / "calls"
    source.write_text(SOURCE)
    subprocess.run([shutil.which("cc") or "cc", "-O2", "-o", program, source], check=True)
    return program


def nanoseconds(program: Path, case: str) -> float:
    """Nanoseconds per system call."""
    answer = subprocess.run([program, case, str(CALLS)], capture_output=True, text=True, check=True)
    return float(answer.stdout)


def memory() -> dict[str, int]:
    """Kilobytes of this process by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "Rss"))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    from agent.kernel.source import RING_BYTES, KernelSource  # noqa: PLC0415 # its memory is measured, too
    from bench.report import Report  # noqa: PLC0415 # same

    without: dict[str, list[float]] = {case: [] for case in CASES}
    attached: dict[str, list[float]] = {case: [] for case in CASES}
    opening: list[float] = []
    with KernelSource.open(excluded_processes={os.getpid()}):
        held = memory()
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for _ in range(rounds):
            for case, word in CASES.items():
                without[case].append(nanoseconds(program, word))
            begin = time.monotonic()
            with KernelSource.open(excluded_processes={os.getpid()}, ring_bytes=RING_FOR_ALL) as source:
                opening.append(time.monotonic() - begin)
                parts = source.loaded.seconds
                for case, word in CASES.items():
                    attached[case].append(nanoseconds(program, word))
                    source.take()
    report = Report("kernel_cost", f"{rounds} rounds of {CALLS:,} calls, medians")
    for case in CASES:
        before, after = statistics.median(without[case]), statistics.median(attached[case])
        report.row(case, {"ns without": before, "ns attached": after, "ns more": after - before})
    said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())
    report.row("open, until every program is attached", {"s": statistics.median(opening)}, f"of the loader: {said}")
    ring = f"the ring of {RING_BYTES >> 20} MB is counted with it"
    resident = {"MB resident": held["VmRSS"] / 1024, "MB its own": held["RssAnon"] / 1024}
    report.row("a process that only holds a source", resident, ring)
    print(report.finish())


if __name__ == "__main__":
    main()
