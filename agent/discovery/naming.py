"""From what is known of a process to the names that its connections carry."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from agent.discovery.cgroups import ENGINES, container_id, systemd_unit
from agent.discovery.host import ProcessFacts
from agent.discovery.programs import program_name

UNNAMED = "unknown"
"""The last resort for a process of which not even the task name is known."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of one process on the wire."""

    service: str
    instance: str
    container: str
    """Name of the container, or else its short id; empty outside of containers."""
    process: str


@dataclass(frozen=True, slots=True)
class ServiceRule:
    """A user's rule: holds when every condition that it states holds. The first one that holds names the service."""

    service: str
    r"""Template: \1 or \g<name> stands for a group of `command_line`, else of `executable`."""
    command_line: re.Pattern[str] | None = None
    """Searched in the arguments joined by spaces."""
    executable: re.Pattern[str] | None = None
    """Searched in the path of the program."""
    port: int | None = None
    """A port that the process listens on."""

    def name(self, facts: ProcessFacts, ports: Collection[int]) -> str:
        """The service's name, or "" when the rule does not hold (or its template comes out empty)."""
        if self.port is not None and self.port not in ports:
            return ""
        matches = []
        if self.command_line is not None:
            matches.append(self.command_line.search(" ".join(facts.command_line)))
        if self.executable is not None:
            matches.append(self.executable.search(facts.executable))
        if not all(matches):
            return ""
        match = matches[0] if matches else None
        return (match.expand(self.service) if match else self.service).strip()


@dataclass(frozen=True, slots=True)
class Naming:
    """Names processes: the user's rules, then the systemd unit, then the container, then the program."""

    instance: str
    rules: Sequence[ServiceRule] = ()
    services: Mapping[int, str] = field(default_factory=dict)
    """Services by pid, for processes whose name is certain."""

    @property
    def uses_ports(self) -> bool:
        """True when a listening port that becomes known later can change a name."""
        return any(rule.port is not None for rule in self.rules)

    def identify(self, facts: ProcessFacts, ports: Collection[int]) -> Identity:
        """Names of a process that listens on `ports`."""
        container = facts.container_name or container_id(facts.cgroups)
        process = PurePosixPath(facts.executable).name or facts.command or UNNAMED
        by_rule = next(filter(None, (rule.name(facts, ports) for rule in self.rules)), "")
        unit = systemd_unit(facts.cgroups)
        if container and unit in ENGINES:
            unit = ""
        certain = self.services.get(facts.pid, "")
        program = program_name(facts.executable, facts.command_line) or process
        return Identity(certain or by_rule or unit or container or program, self.instance, container, process)

    def identify_by_command(self, command: str) -> Identity:
        """Names of a process that was gone before it could be read: its task name is all there is."""
        process = command or UNNAMED
        return Identity(process, self.instance, "", process)
