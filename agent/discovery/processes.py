"""The processes seen so far, each read from the host once per program that it runs."""

from collections import OrderedDict

from agent.discovery.host import Host, ProcessFacts
from agent.discovery.naming import Identity, Naming

_COMMANDS = 32
"""Task names remembered per process; beyond that a new one is not taken as a sign of a new program."""


class Process:
    """One process: what was read of it, and the names that it has now."""

    __slots__ = ("_commands", "facts", "identity", "pid", "ports")

    def __init__(self, pid: int, facts: ProcessFacts | None, identity: Identity) -> None:
        self.pid = pid
        self.facts = facts
        """None when the process was gone before it could be read."""
        self.identity = identity
        self.ports: set[int] = set()
        """Ports that it is known to listen on."""
        self._commands: set[bytes] = set()

    def first_time(self, command: bytes) -> bool:
        """True when the process has not been seen under this task name yet."""
        if command in self._commands or len(self._commands) >= _COMMANDS:
            return False
        self._commands.add(command)
        return True


class ProcessTable:
    """Processes by pid, bounded; the one seen longest ago leaves first. Whoever holds a Process keeps it."""

    def __init__(self, host: Host, naming: Naming, capacity: int) -> None:
        self._host = host
        self._naming = naming
        self._capacity = capacity
        self._processes: OrderedDict[int, Process] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._processes)

    def seen(self, pid: int, command: bytes) -> Process:
        """The process of an event that came from the task name `command` (NUL padded).

        A task name that is new for the process may mean that it runs another program since (execve keeps the pid),
        or that the pid belongs to another process by now, so the host is asked again.
        """
        process = self._processes.get(pid)
        if process is None:
            process = self._read(pid, command)
            process.first_time(command)
            self._processes[pid] = process
            self._bound()
            return process
        self._processes.move_to_end(pid)
        if process.first_time(command):
            facts = self._host.process(pid)
            if facts is not None and facts != process.facts:
                if process.facts is not None and facts.start_ticks != process.facts.start_ticks:
                    process = self._processes[pid] = Process(pid, facts, process.identity)
                    process.first_time(command)
                process.facts = facts
                process.identity = self._naming.identify(facts, process.ports)
        return process

    def adopt(self, pid: int) -> Process | None:
        """A process that was found without an event; None when it is gone."""
        process = self._processes.get(pid)
        if process is not None:
            return process
        facts = self._host.process(pid)
        return self.seen(pid, facts.command.encode()[:15].ljust(16, b"\0")) if facts is not None else None

    def known(self, pid: int) -> Process | None:
        """The process if it has been seen."""
        return self._processes.get(pid)

    def listens(self, process: Process, port: int) -> None:
        """Note that a process listens on a port; rules may name it by that."""
        if port in process.ports or len(process.ports) >= _COMMANDS:
            return
        process.ports.add(port)
        if self._naming.uses_ports and process.facts is not None:
            process.identity = self._naming.identify(process.facts, process.ports)

    def left(self, pid: int) -> None:
        """Forget a process that has exited: its pid may come back as another one."""
        self._processes.pop(pid, None)

    def _read(self, pid: int, command: bytes) -> Process:
        facts = self._host.process(pid)
        if facts is not None:
            return Process(pid, facts, self._naming.identify(facts, ()))
        text = command.rstrip(b"\0").decode(errors="replace")
        return Process(pid, None, self._naming.identify_by_command(text))

    def _bound(self) -> None:
        while len(self._processes) > self._capacity:
            self._processes.popitem(last=False)
            self.evicted += 1
