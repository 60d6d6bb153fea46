"""`pyrover-backend query` on a terminal of its own: the tree of who calls whom, and the agents."""

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.applications import Starlette

from backend.agents.book import AgentBook
from backend.ingest.batch import Node
from backend.query.routes import routes
from backend.storage.interface import Flush
from backend.storage.memory import MemoryStorage
from tests.backend.agents.reports import serialised
from tests.backend.query import world
from tests.backend.query.serving import served

PER_MINUTE = [(world.API, 240, 239, 11.0), (world.FRONTEND, 60, 57, 85.0)]
"""Service, HTTP calls, those that succeeded, mean milliseconds."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    storage = MemoryStorage()
    world.fill(storage)
    answered = []
    for service, calls, good, time in PER_MINUTE:
        for minute in range(world.NOW_MINUTE - world.MINUTES + 1, world.NOW_MINUTE + 1):
            answered += [
                ("kubernetes_service_http_call_cpm", service, minute, calls, 0),
                ("kubernetes_service_http_call_time", service, minute, int(calls * time * 1_000_000), calls),
                ("kubernetes_service_http_call_successful_rate", service, minute, good, calls),
            ]
    storage.write(Flush("answered", world.frame(answered)))
    book = AgentBook(clock=lambda: world.NOW)
    book.hear(Node("node-1", "", 0, {}), serialised(1_800_000_000, 10))
    book.hear(Node("rover", "", 0, {}), None)
    with served(Starlette(routes=routes(storage, clock=lambda: world.NOW, agents=book)).routes) as address:
        yield address


def in_a_terminal(address: str, *arguments: str, width: int) -> list[str]:
    """Run the command; what a person sees, without colours."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, width))
    command = [sys.executable, "-m", "backend.cli", "query", *arguments, "--address", address]
    environment = {"PATH": "", "TERM": "xterm", "LANG": "C.UTF-8"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as running:
        os.close(theirs)
        written = b""
        with suppress(OSError):  # the kernel's way to say that nobody writes any more
            while data := os.read(ours, 65_536):
                written += data
        os.close(ours)
    assert running.returncode == 0, written
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).splitlines() if line.strip()]


def cells(line: str) -> list[str]:
    """What is between runs of blanks, with the blanks that a tree begins with as its depth."""
    return [f"{len(line) - len(line.lstrip())}", *re.split(r"\s{2,}", line.strip())]


def test_the_tree_has_everything_where_there_is_room(address: str) -> None:
    lines = in_a_terminal(address, "topology", width=120)
    assert [cells(line) for line in lines[1:2] + lines[3:]] == [
        ["1", "Service", "/min", "time", "Success", "connects", "Sent", "Received", "/min", "Protocol"],
        ["1", "Unknown (no agent)", "-", "-", "-"],
        ["1", "└─ ▲ frontend", "60", "85 ms", "95 %", "-", "105 B/s", "2.1 KiB/s", "31.6", "https"],
        ["4", "└─ api", "240", "11 ms", "99.58 %", "0", "1.1 KiB/s", "5.3 KiB/s", "316", "http"],
        ["7", "└─ db", "-", "-", "-", "0", "105 B/s", "10.3 KiB/s", "105", "tcp"],
        ["0", "2027-01-15 07:46 to 2027-01-15 08:00 UTC, 9.5 minutes observed"],
        ["0", "▲ less than 99 % succeed"],
    ]


def test_a_narrow_terminal_goes_without_details(address: str) -> None:
    lines = in_a_terminal(address, "topology", width=48)
    assert all(len(line) <= 48 for line in lines)
    assert [cells(line) for line in lines[3:6]] == [
        ["1", "Unknown (no agent)", "-", "-", "-"],
        ["1", "└─ ▲ frontend", "60", "85 ms", "95 %"],
        ["4", "└─ api", "240", "11 ms", "99.58 %"],
    ]
    assert "left out, for a wider terminal: Failed connects, Sent" in " ".join(lines)


def test_agents(address: str) -> None:
    lines = in_a_terminal(address, "agents", width=150)
    assert lines[1].split() == [
        "Node",
        "Heard",
        "Hooks",
        "Lost",
        "sent",
        "Spool",
        "Memory",
        "Version",
        "Kernel",
        "Incomplete",
    ]
    assert re.split(r"\s{2,}", lines[3].strip()) == [
        *("node-1", "0 s ago", "56 of 57", "ring_full 10, queue_full 4", "90", "700 B", "50 MiB", "1.2.3"),
        *("6.1.0 x86_64", "kernel payload_cut 5"),
    ]
    assert re.split(r"\s{2,}", lines[4].strip())[:4] == ["rover", "0 s ago", "not told", "not told"]
    assert "node-1: no device_queue (this kernel has no net:net_dev_queue); lost: time to the queue" in lines[6]
