"""How much memory a look takes that finds the ring of payload full, in a process that has not looked before.

    .venv/bin/python -m bench.full_payload_ring

The ring has its default size, in plain memory, and holds what a server reads and writes on fifty connections, as the
kernel programs would put it there. The look takes it, with the events of the same calls, through the agent's pipeline
to bytes. Each case has a process of its own, as a process uses memory again that it took once.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from agent.commands.memory import MemoryTrimmer
from agent.config import Configuration
from agent.events.fragments import FRAGMENT, ConversationProtocol, Fragment, pack_fragments
from agent.events.layout import EventKind
from agent.export.accounting import Ledger
from agent.kernel.loader_options import Options
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.ring import LONGEST_RECORD
from agent.pipeline import Pipeline
from bench.agent_export import Host
from bench.agent_http import CONNECTIONS, Call, Talk, http1, http2, make_steps
from bench.report import Report

ROOMS: Final = (128, 1024)
"""Bytes that a record has behind its head (FRAGMENT_SMALL and FRAGMENT_MEDIUM of bpf/payload.h)."""
EXCHANGES: Final = 30_000
"""More than the ring holds."""
HEADER_BYTES: Final = 8
KIB: Final = 1024
PEAK_BEGINS_ANEW: Final = "5"
"""For /proc/PID/clear_refs (proc_pid_clear_refs(5))."""


def heads_alone() -> tuple[ConversationProtocol, Callable[[], Talk]]:
    """The shortest records: no ring holds more fragments."""
    response = b"HTTP/1.1 204 No Content\r\nServer: nginx/1.27.0\r\n\r\n"
    return (
        ConversationProtocol.HTTP1,
        lambda: (
            lambda turn: [
                Call(EventKind.READ, b"GET /items/%d HTTP/1.1\r\nHost: shop\r\n\r\n" % turn, 0),
                Call(EventKind.WRITE, response, 1),
            ]
        ),
    )


def with_bodies() -> tuple[ConversationProtocol, Callable[[], Talk]]:
    """As bench.agent_http has them."""
    protocol, talk = http1()
    return protocol, lambda: talk


CASES: Final[dict[str, Callable[[], tuple[ConversationProtocol, Callable[[], Talk]]]]] = {
    "HTTP/1, heads alone": heads_alone,
    "HTTP/1, with bodies of 512 bytes": with_bodies,
    "HTTP/2, 4 streams a call": lambda: http2(4, grpc=False),
}


def filled(fragments: Sequence[Fragment]) -> tuple[PayloadRing, int]:
    """A ring with as many of the fragments as there is room for, and how many that are."""
    size = Options().payload_bytes
    data = np.zeros(size + LONGEST_RECORD, np.uint8)
    at = 0
    for count, one in enumerate(fragments):
        room = next(room for room in ROOMS if one.length <= room)
        length = FRAGMENT.itemsize + room
        if at + HEADER_BYTES + length > size:
            return PayloadRing(np.zeros(1, np.uint64), np.full(1, at, np.uint64), data, size), count
        packed = length.to_bytes(HEADER_BYTES, sys.byteorder) + pack_fragments([one])
        data[at : at + len(packed)] = np.frombuffer(packed, np.uint8)
        at += HEADER_BYTES + length
    raise SystemExit(f"{len(fragments)} fragments do not fill the ring")


def resident(name: str) -> int:
    """KiB of this process, now (VmRSS) or at most (VmHWM)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def measure(case: str) -> dict[str, float]:
    """One look; in a new process."""
    protocol, talk = CASES[case]()
    steps = make_steps(protocol, [talk() for _ in range(CONNECTIONS)], EXCHANGES)
    ring, count = filled([fragment for _, fragments, _ in steps for fragment in fragments])
    events = np.concatenate([events for events, _, _ in steps])[:count]
    ledger = Ledger()
    pipeline = Pipeline(Configuration(), "node", 1, host=Host(), ledger=ledger, deliver=lambda _: None)
    pipeline.start(0)
    del steps
    gc.collect()
    MemoryTrimmer().trim()
    Path("/proc/self/clear_refs").write_text(PEAK_BEGINS_ANEW)
    before, began = resident("VmRSS"), time.process_time()
    pipeline.step(events, 10**10, ring.take())
    seconds, most = time.process_time() - began, resident("VmHWM") - before
    return {"fragments": count, "logs": ledger.balance().captured, "s": seconds, "MB more at most": most * KIB / 1e6}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CASES, metavar="CASE", help="measure this one in this process; prints JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only)))
        return
    report = Report("full_payload_ring", f"{Options().payload_bytes} bytes")
    for case in CASES:
        command = [sys.executable, "-m", "bench.full_payload_ring", "--only", case]
        report.row(case, json.loads(subprocess.check_output(command)))
    print(report.finish())


if __name__ == "__main__":
    main()
