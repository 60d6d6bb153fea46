"""The processes seen so far, each read from the host once per program that it runs."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from agent.discovery.host import Host, ProcessFacts
from agent.discovery.kubernetes.book import Found
from agent.discovery.kubernetes.names import PodNames
from agent.discovery.naming import Identity, Naming
from agent.discovery.standing import Named, Standing

_COMMANDS = 32
"""Task names remembered per process; beyond that a new one is not taken as a sign of a new program."""
AWAIT_NS = 5 * 1_000_000_000
"""How long the logs of a process wait for what the API server has to tell of its pod."""
REFRESH_NS = 200_000_000
"""The shortest pause between two looks at what it told."""
_TOLD = Named(Standing.TOLD)
_GONE = Named(Standing.UNKNOWN)


class Process:
    """One process: what was read of it, and the names that it has now."""

    __slots__ = ("_commands", "facts", "found", "identity", "named", "pid", "ports")

    def __init__(self, pid: int, facts: ProcessFacts | None, identity: Identity) -> None:
        self.pid = pid
        self.facts = facts
        """None when the process was gone before it could be read."""
        self.identity = identity
        self.named = _TOLD
        """What is known of it in a cluster; of a process on a host, that it is told of."""
        self.found: Found | None = None
        """The pod that `named` was made of."""
        self.ports: set[int] = set()
        """Ports that it is known to listen on."""
        self._commands: set[bytes] = set()

    @property
    def standing(self) -> Standing:
        """Whether anything is told of it."""
        return self.named.standing

    def is_new(self, command: bytes) -> bool:
        """True when the process has not been seen under this task name yet."""
        return command not in self._commands and len(self._commands) < _COMMANDS

    def first_time(self, command: bytes) -> bool:
        """The same, and from now on it has been."""
        is_new = self.is_new(command)
        if is_new:
            self._commands.add(command)
        return is_new


class ProcessTable:
    """Processes by pid, bounded; the one seen longest ago leaves first. Whoever holds a Process keeps it."""

    def __init__(
        self,
        host: Host,
        naming: Naming,
        capacity: int,
        pods: PodNames | None = None,
        exclude: Callable[[ProcessFacts], bool] = lambda _facts: False,
    ) -> None:
        """Start with none.

        Args:
            host: Is asked about processes.
            naming: Names them.
            capacity: Processes at most.
            pods: Names them by their pods, where this host is a node of a cluster.
            exclude: Tells the kernel that nothing of a process is wanted; says whether that is so from now on.
        """
        self._pods = pods
        self._exclude = exclude
        self._awaited: dict[Process, int] = {}
        """Processes with what waits for their pods, and since when."""
        self._version = -1
        self._refreshed_ns = 0
        self._now_ns = 0
        self._host = host
        self._naming = naming
        self._capacity = capacity
        self._processes: OrderedDict[int, Process] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def awaited(self) -> int:
        """Processes of whose pods the API server has yet to tell."""
        return len(self._awaited)

    def seen(self, pid: int, command: bytes) -> Process:
        """The process of an event that came from the task name `command` (NUL padded).

        A task name that is new for the process may mean that it runs another program since (execve keeps the pid),
        or that the pid belongs to another process by now, so the host is asked again.
        """
        process = self._processes.get(pid)
        if process is None:
            process = self._read(pid, command)
            process.first_time(command)
            if self._is_excluded(process):
                return process  # there will be no event of its end, so it cannot be remembered
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
                self._name(process)
        return process

    def adopt(self, pid: int) -> Process | None:
        """A process that was found without an event; None when it is gone."""
        process = self._processes.get(pid)
        if process is not None:
            return process
        facts = self._host.process(pid)
        return self.seen(pid, facts.command.encode()[:15].ljust(16, b"\0")) if facts is not None else None

    def is_new(self, pid: int, command: bytes) -> bool:
        """Whether `seen` would read the process from the host, which it had better while the process is there."""
        process = self._processes.get(pid)
        return process is None or process.is_new(command)

    def known(self, pid: int) -> Process | None:
        """The process if it has been seen."""
        return self._processes.get(pid)

    def listens(self, process: Process, port: int) -> None:
        """Note that a process listens on a port; rules may name it by that."""
        if port in process.ports or len(process.ports) >= _COMMANDS:
            return
        process.ports.add(port)
        if self._naming.uses_ports and process.facts is not None:
            self._name(process)

    def left(self, pid: int) -> None:
        """Forget a process that has exited: its pid may come back as another one."""
        self._processes.pop(pid, None)

    def present(self) -> list[Process]:
        """All that are known now."""
        return list(self._processes.values())

    def told(self) -> Iterator[Process]:
        """The processes of which something is told."""
        return (process for process in self._processes.values() if process.standing is Standing.TOLD)

    def refresh(self, now_ns: int) -> None:
        """Name processes anew where more is known of their pods, or was waited for long enough.

        Who has a name keeps it when its pod is gone. `now_ns` is CLOCK_MONOTONIC.
        """
        self._now_ns = now_ns
        if self._pods is None or now_ns - self._refreshed_ns < REFRESH_NS:
            return
        self._refreshed_ns = now_ns
        version = self._pods.version
        candidates = list(self._awaited)
        if version != self._version:
            candidates += [process for process in self._processes.values() if process not in self._awaited]
        self._version = version
        for process in candidates:
            if process.standing is Standing.AWAITED or self._find(process) != process.found:
                self._name(process)
                if self._is_excluded(process):
                    self._processes.pop(process.pid, None)

    def _read(self, pid: int, command: bytes) -> Process:
        facts = self._host.process(pid)
        text = command.rstrip(b"\0").decode(errors="replace")
        process = Process(pid, facts, self._naming.identify_by_command(text))
        self._name(process)
        return process

    def _is_excluded(self, process: Process) -> bool:
        """Whether the kernel tells nothing of a process any more, because nobody will want it."""
        return process.named.for_good and process.facts is not None and self._exclude(process.facts)

    def _find(self, process: Process) -> Found | None:
        """The pod of a process as it is now, or else as it was: processes outlive what is told of their containers."""
        if self._pods is None or process.facts is None:
            return None
        found, before = self._pods.find(process.facts), process.found
        if before is not None and (found is None or (found.container is None and before.container is not None)):
            return before
        return found

    def _name(self, process: Process) -> None:
        """Give a process its names, by what is known now."""
        facts = process.facts
        if facts is not None:
            process.identity = self._naming.identify(facts, process.ports)
        if self._pods is None:
            return
        if facts is None:
            process.named = _GONE
            return
        process.found = self._find(process)
        since = self._awaited.setdefault(process, self._now_ns)
        in_time = self._now_ns - since < AWAIT_NS and len(self._awaited) <= self._capacity
        process.named = self._pods.name(facts, process.found, in_time=in_time) or _TOLD
        if process.standing is not Standing.AWAITED:
            del self._awaited[process]
        if process.named.entities:
            first = process.named.entities[0]
            process.identity = Identity(first.service, first.instance, process.named.container, first.process)

    def _bound(self) -> None:
        while len(self._processes) > self._capacity:
            self._processes.popitem(last=False)
            self.evicted += 1
