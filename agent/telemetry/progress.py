"""How far the pipeline is.

Its objects belong to its own thread, which notes their figures now and then for those who ask from another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.discovery.exclusion import Exclusion
from agent.discovery.go_programs import GoPrograms
from agent.discovery.kubernetes.names import PodNames
from agent.pipeline import Pipeline

NOTE_NS: Final = 200_000_000
"""The shortest pause between two notes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The pipeline at one moment. Counts are since the start.

    Attributes:
        noted_ns: CLOCK_MONOTONIC.
        events: taken in.
        connections: followed now.
        connections_evicted: forgotten while they were open.
        processes: known now.
        processes_evicted: forgotten.
        conversations: read now.
        pending: logs that wait for the next flush, or for the names of their processes.
        incomplete: what is told with less than it should be, by part and cause.
        troubles: what went wrong on connections.
        addresses_without_room: of this node, not told now.
    """

    noted_ns: int
    events: int
    connections: int
    connections_evicted: int
    processes: int
    processes_evicted: int
    conversations: int
    pending: int
    incomplete: Mapping[str, Mapping[str, int]]
    troubles: Mapping[str, int]
    addresses_without_room: int


class ProgressNotes:
    """Notes the progress of one pipeline. `note` and `note_when_due` belong to the pipeline's thread."""

    def __init__(
        self, pipeline: Pipeline, exclusion: Exclusion, pods: PodNames | None, go_programs: GoPrograms
    ) -> None:
        self._pipeline = pipeline
        self._go_programs = go_programs
        self._exclusion = exclusion
        self._pods = pods
        self._latest: Progress | None = None

    @property
    def latest(self) -> Progress | None:
        """The latest note; None before the first. For any thread."""
        return self._latest

    def note_when_due(self, now_ns: int) -> None:
        """Note when the last time is long enough ago; `now_ns` is CLOCK_MONOTONIC."""
        if self._latest is None or now_ns - self._latest.noted_ns >= NOTE_NS:
            self.note(now_ns)

    def note(self, now_ns: int) -> Progress:
        """Note now."""
        pipeline = self._pipeline
        incomplete = {
            "translations": pipeline.remotes.losses(),
            "exclusion": self._exclusion.losses(),
            "programs": self._go_programs.losses(),
            "exchanges": dict(pipeline.conversations.losses),
        }
        if self._pods is not None:
            incomplete["pods"] = self._pods.losses()
        self._latest = progress = Progress(
            noted_ns=now_ns,
            events=pipeline.events,
            connections=pipeline.table.live,
            connections_evicted=pipeline.table.evicted,
            processes=len(pipeline.processes),
            processes_evicted=pipeline.processes.evicted,
            conversations=len(pipeline.conversations),
            pending=pipeline.pending,
            incomplete=incomplete,
            troubles=dict(pipeline.troubles),
            addresses_without_room=pipeline.addresses.without_room,
        )
        return progress
