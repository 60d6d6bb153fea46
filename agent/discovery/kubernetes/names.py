"""What the processes of this node are called in its cluster, and of which nothing is told."""

import os
from collections import Counter
from dataclasses import dataclass, field

from agent.discovery.cgroups import container_ids, is_in_kubernetes, pod_uid
from agent.discovery.host import ProcessFacts
from agent.discovery.kubernetes.analyzers import Analyzers, Entity
from agent.discovery.kubernetes.book import Found, PodBook
from agent.discovery.kubernetes.members import Rover, Subject
from agent.discovery.kubernetes.objects import Container
from agent.discovery.standing import Named, Standing

_LEFT_OUT = Named(Standing.LEFT_OUT)
_EXCLUDED = Named(Standing.LEFT_OUT, for_good=True)
_AWAITED = Named(Standing.AWAITED)
_UNKNOWN = Named(Standing.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of what is told."""

    namespaces: frozenset[str] = frozenset()
    """Only of pods of these; empty for all."""
    excluded_namespaces: frozenset[str] = frozenset()
    excluded_clusters: frozenset[str] = frozenset()
    """As they stand before the "::" of a service's name."""
    host_processes: bool = False
    """Whether of processes outside of pods as well."""

    def has(self, namespace: str) -> bool:
        """Whether of pods of a namespace."""
        return namespace not in self.excluded_namespaces and (not self.namespaces or namespace in self.namespaces)

    def wants(self, entity: Entity) -> bool:
        """Whether of processes that are called that."""
        cluster, within, _ = entity.service.partition("::")
        return not within or cluster not in self.excluded_clusters


@dataclass(slots=True)
class PodNames:
    """Names processes by their pods.

    Attributes:
        book: the pods.
        analyzers: make names.
        rover: this agent, for templates.
        wanted: of what is told.
        own_process: process id of this agent, of which nothing is told.
        counts: processes without names, by cause.
    """

    book: PodBook
    analyzers: Analyzers
    rover: Rover
    wanted: Wanted
    own_process: int = field(default_factory=os.getpid)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def version(self) -> int:
        """Changes whenever a name may have."""
        return self.book.version

    def find(self, facts: ProcessFacts) -> Found | None:
        """The pod of a process."""
        return self.book.find(container_ids(facts.cgroups), pod_uid(facts.cgroups))

    def name(self, facts: ProcessFacts, found: Found | None, *, in_time: bool) -> Named | None:
        """What a process is called.

        Args:
            facts: The process.
            found: Its pod, as far as that is known.
            in_time: Whether what is not known yet may still be waited for.

        Returns:
            None when it is in no pod and is told of as on any host.
        """
        if facts.pid == self.own_process:
            return _EXCLUDED
        if found is None and not is_in_kubernetes(facts.cgroups):
            return None if self.wanted.host_processes else _EXCLUDED
        if found is not None and not self.wanted.has(found.pod.namespace):
            return _EXCLUDED
        if in_time and (found is None or found.container is None or not self.book.is_complete):
            return _AWAITED
        return self._name(facts, found)

    def _name(self, facts: ProcessFacts, found: Found | None) -> Named:
        """What a process in a pod is called, by what is known."""
        if found is None or not self.book.is_complete:
            self.counts["pod not told"] += 1
            return _UNKNOWN
        if found.container is None:
            self.counts["container not told"] += 1
        container = found.container or Container("", next(container_ids(facts.cgroups), ""), {})
        subject = Subject(self.rover, facts, found.pod, found.service, container)
        entities = tuple(filter(self.wanted.wants, self.analyzers.entities(subject)))
        if not entities:
            return _LEFT_OUT
        return Named(Standing.TOLD, entities, container.name, properties=_properties(facts, found, container))

    def losses(self) -> dict[str, int]:
        """Processes that have no names, or not all of them, by cause, since the start."""
        return {
            "pods not told in time": self.counts["pod not told"],
            "containers not told in time": self.counts["container not told"],
            "names without a value": self.analyzers.troubles.total(),
            "objects of the cluster without room": self.book.without_room,
        }


def _properties(facts: ProcessFacts, found: Found, container: Container) -> tuple[tuple[str, str], ...]:
    return (
        ("host_ip", found.pod.host_address),
        ("container_ip", found.pod.address),
        ("container_name", container.name),
        ("pod_name", found.pod.name),
        ("pid", str(facts.pid)),
        ("command_line", " ".join(facts.command_line)),
        ("support_ebpf_profiling", "false"),
    )
