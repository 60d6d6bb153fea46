"""What the programs under test say about sockets of two hosts, summed so that it can be compared with counters."""

import time
from collections.abc import Callable

import numpy as np

from agent.events.layout import EVENT, QUALITY, STAGES, EventKind, Events, quality_of
from agent.kernel.source import KernelSource
from tests.waiting import PATIENCE

SENT = (EventKind.WRITE, EventKind.LATE_WRITE)
RECEIVED = (EventKind.READ, EventKind.LATE_READ)


class Story:
    """Everything that was told, collected until told otherwise."""

    def __init__(self, source: KernelSource) -> None:
        self.source = source
        self.events: Events = np.zeros(0, EVENT)

    def collect(self) -> Events:
        """Take what has come; all events so far."""
        self.events = np.concatenate([self.events, self.source.take()])
        return self.events

    def until_gone(self, *inodes: int) -> None:
        """Collect until these sockets are destroyed: their last word is about their quality, after their close."""
        self.until(lambda: all(map(self._is_gone, inodes)), f"the end of the sockets {inodes}")

    def until(self, is_told: Callable[[], bool], what: str) -> None:
        """Collect until this is true."""
        deadline = time.monotonic() + PATIENCE
        while not is_told():
            assert time.monotonic() < deadline, f"{what} is not told; lost: {dict(self.source.losses())}"
            self.source.wait(0.2)
            self.collect()

    def _is_gone(self, inode: int) -> bool:
        closed = self.of(inode, EventKind.CLOSE)
        last = self.of(inode, EventKind.QUALITY)
        return bool(len(closed)) and bool(len(last)) and bool(last["start_ns"].max() >= closed["start_ns"].max())

    def of(self, inode: int, *kinds: EventKind) -> Events:
        """Events of a socket."""
        found: Events = self.events[(self.events["inode"] == inode) & np.isin(self.events["kind"], kinds)]
        return found

    def sums(self, inode: int, *kinds: EventKind) -> dict[str, int]:
        """Each stage's sum over events of a socket."""
        stages = self.of(inode, *kinds)["stages"]
        return {name: int(stages[name].sum()) for name in STAGES.names or ()}

    def troubles(self, inode: int) -> dict[str, int]:
        """The sums of what went wrong on a socket."""
        quality = quality_of(self.of(inode, EventKind.QUALITY))
        return {name: int(quality[name].sum()) for name in QUALITY.names or () if QUALITY[name].shape == ()}

    def drops(self, inode: int) -> dict[int, int]:
        """Drops by reason."""
        found: dict[int, int] = {}
        for quality in quality_of(self.of(inode, EventKind.QUALITY)):
            for drop in quality["drops"]:
                if drop["count"]:
                    found[int(drop["reason"])] = found.get(int(drop["reason"]), 0) + int(drop["count"])
        return found


def assert_layers_nest(writes: Events) -> None:
    """L2 <= L3 <= L4 <= system call, for each write; nothing has wrapped."""
    stages = writes["stages"]
    call = writes["end_ns"] - writes["start_ns"]
    own = stages["packages"] > stages["late_packages"]
    assert (writes["end_ns"] >= writes["start_ns"]).all()
    assert (stages["l2_ns"] <= stages["l3_ns"]).all()
    assert (stages["l3_ns"] <= stages["l4_ns"]).all()
    assert (stages["l4_ns"] <= call).all()
    assert (stages["l3_local_ns"] + stages["l3_output_ns"] <= stages["l3_ns"]).all()
    assert (stages["netfilter_ns"] <= stages["l3_ns"]).all()
    assert (stages["l2_ns"][own] > 0).all()
