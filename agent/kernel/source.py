"""Events from the running kernel."""

import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar

from agent.events.fragments import Fragment
from agent.events.layout import Events
from agent.events.source import IsNew, nobody_is_new
from agent.kernel import bpf_maps, bpf_programs
from agent.kernel.loader import Loaded, LoaderError, load
from agent.kernel.loader_options import Options
from agent.kernel.losses import COUNTERS, INCOMPLETE, LOST, PROGRAM_SKIPPED, RETURN_MISSED
from agent.kernel.pacing import Pacer
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.plan import AttachMode, Plan, examine_kernel, make_plan
from agent.kernel.ring import Ring
from agent.kernel.wakeups import KernelWakeups

RING_BYTES: Final = 4 << 20
"""Default size of the ring: room for 17,476 events, which is what 350,000 a second leave within 50 ms."""

_PRESENT: Final = b"\1"
_AnyRing = TypeVar("_AnyRing", Ring, PayloadRing)


class KernelSource:
    """An `EventSource` of what happens on this machine from now on. Use as a context manager."""

    def __init__(self, loaded: Loaded, coverage: Plan) -> None:
        """Take over what the loader handed over; prefer `open`."""
        self._loaded = loaded
        self._counters = loaded.maps["counters"]
        self._cpus = bpf_maps.possible_cpus()
        events = loaded.maps["events"]
        payloads = loaded.maps["payloads"]
        self._ring: Ring | None = Ring.map(events, bpf_maps.map_information(events).entries)
        self._payload: PayloadRing | None = PayloadRing.map(payloads, bpf_maps.map_information(payloads).entries)
        self._wakeups = KernelWakeups(events, loaded.maps["sleeper"])
        self._pacer: Pacer | None = Pacer(self._ring, self._payload, self._wakeups)
        self.coverage = coverage
        """Which hook is served by what, and what is lost."""

    @classmethod
    def open(
        cls,
        *,
        ring_bytes: int = RING_BYTES,
        attach: AttachMode | str = AttachMode.AUTO,
        excluded_processes: Collection[int] = (),
        only_processes: Collection[int] | None = None,
        unavailable: Collection[str] = (),
        options: Options | None = None,
    ) -> Self:
        """Attach to the running kernel.

        Args:
            ring_bytes: Size of the ring; a power of two, at least a page.
            attach: Kind of source to use; "auto" takes the best that the kernel offers.
            excluded_processes: Process ids that are never watched; the agent gives its own.
            only_processes: When given, only these are watched; more can be chosen later.
            unavailable: Names of hooks that are not to be used.
            options: Bounds of the maps, for those who need others; ring size and filter are taken from above.

        Raises:
            LoaderError: The programs could not be loaded; the message says why and what to do.
            ValueError: An argument is out of range.
        """
        wanted = replace(options or Options(), ring_bytes=ring_bytes, only_chosen=only_processes is not None)
        plan = make_plan(examine_kernel(), AttachMode(attach), unavailable=unavailable)
        loaded = load(plan, wanted)
        while loaded.refused:
            # A hook that the kernel took in part would cost and show nothing; it may take another source of it.
            plan = plan.without(loaded.refused)
            loaded.close()
            loaded = load(plan, wanted)
        try:
            source = cls(loaded, plan)
        except OSError as error:
            loaded.close()
            raise LoaderError(
                f"what the programs tell cannot be read: {error}; give the agent more memory, or smaller rings"
            ) from error
        try:
            for process in excluded_processes:
                source.exclude(process)
            for process in only_processes or ():
                source.choose(process)
        except BaseException:
            source.close()
            raise
        return source

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def loaded(self) -> Loaded:
        """How the programs were loaded, and their descriptors."""
        return self._loaded

    def exclude(self, process: int) -> None:
        """Stop watching a process, until it ends.

        Raises:
            OSError: The filter is full.
        """
        bpf_maps.update(self._loaded.maps["excluded_processes"], _key(process), _PRESENT)

    def include(self, process: int) -> None:
        """Watch a process again that was excluded; nothing happens when it was not."""
        bpf_maps.delete(self._loaded.maps["excluded_processes"], _key(process))

    def choose(self, process: int) -> None:
        """Watch one more process, where only chosen ones are.

        Raises:
            OSError: The filter is full.
            ValueError: All processes are watched.
        """
        if "chosen_processes" not in self._loaded.maps:
            raise ValueError("every process is watched: open with only_processes to choose some")
        bpf_maps.update(self._loaded.maps["chosen_processes"], _key(process), _PRESENT)

    def take(self) -> Events:
        """Every event that has arrived since the last call, in order of arrival; empty when there is none."""
        return self._open(self._ring).take()

    def take_payload(self) -> list[Fragment]:
        """Every fragment of payload that has arrived since the last call, in order of arrival.

        A call's fragments arrive before its event: take events first, then what belongs to them is here.
        """
        return self._open(self._payload).take()

    def mute(self, socket: int, inode: int) -> None:
        """Capture no more of the bytes of a connection. Where too many wait to be told so, it goes on.

        Args:
            socket: The kernel's struct sock, as a fragment names it; for a TLS session, plus that.
            inode: Of the connection, as a fragment names it: the struct sock may be another one's by now.
        """
        key, value = (number.to_bytes(8, sys.byteorder) for number in (socket, inode))
        with suppress(OSError):
            bpf_maps.update(self._loaded.maps["muted_sockets"], key, value)

    def wait(self, seconds: float, is_new: IsNew = nobody_is_new) -> bool:
        """Block until events are to be taken, `seconds` have passed, or it is interrupted. False when it is closed.

        Args:
            seconds: The longest wait.
            is_new: Says whether a process is to be read anew; its events do not wait for others.
        """
        if self._pacer is not None:
            self._pacer.wait(seconds, is_new)
        return self._pacer is not None

    def interrupt(self) -> None:
        """Let the wait that is under way end, or else the next one. For handlers of signals, and other threads."""
        if self._pacer is not None:
            self._pacer.interrupt()

    def losses(self) -> Mapping[str, int]:
        """Events lost before they could be taken, by cause, since the start."""
        lost = self._read_counters(LOST)
        lost[PROGRAM_SKIPPED] = sum(
            bpf_programs.program_information(descriptor).skipped
            for program, descriptor in self._loaded.programs.items()
            if not program.seen_twice
        )
        probes = self._loaded.return_probes
        lost[RETURN_MISSED] = probes.missed() if probes else 0
        return lost

    def incomplete(self) -> Mapping[str, int]:
        """Events that were sent without something they should have said, by what it is, since the start."""
        return self._read_counters(INCOMPLETE)

    def close(self) -> None:
        """Detach and release everything. Events not taken are gone."""
        if self._ring is not None:
            self._ring = self._payload = self._pacer = None
            self._wakeups.close()
            self._loaded.close()

    @staticmethod
    def _open(ring: _AnyRing | None) -> _AnyRing:
        if ring is None:
            raise ValueError("this source is closed")
        return ring

    def _read_counters(self, names: tuple[str, ...]) -> dict[str, int]:
        self._open(self._ring)
        return {name: bpf_maps.lookup_sum(self._counters, COUNTERS.index(name), self._cpus) for name in names}


def _key(process: int) -> bytes:
    return process.to_bytes(4, sys.byteorder)
