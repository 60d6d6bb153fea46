"""What processes outside of pods are called in reports: as in access logs."""

from dataclasses import dataclass

from agent.discovery.kubernetes.analyzers import Entity
from agent.discovery.processes import Process


@dataclass(frozen=True, slots=True)
class HostEntities:
    """Names processes of this host.

    Attributes:
        layer: of their services.
        address: by which other hosts reach this one; empty when that is not known.
    """

    layer: str
    address: str

    def entity(self, process: Process) -> Entity:
        """The names that its logs carry."""
        named = process.identity
        return Entity(self.layer, named.service, named.instance, named.process, ())

    def properties(self, process: Process) -> tuple[tuple[str, str], ...]:
        """What else is reported of a process: what SkyWalking Rover told of those of a host, and its container."""
        container = (("container_name", process.identity.container),) if process.identity.container else ()
        return (
            ("host_ip", self.address),
            *container,
            ("pid", str(process.pid)),
            ("command_line", " ".join(process.facts.command_line) if process.facts is not None else ""),
            ("support_ebpf_profiling", "false"),
        )
