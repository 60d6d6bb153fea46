"""The processes that have sockets, found by looking at all of them."""

from agent.discovery.host import Host
from agent.discovery.processes import ProcessTable


class ProcessesPresent:
    """Keeps a table of processes to those that there are, without events of the kernel.

    Args:
        host: Is asked for sockets and processes.
        processes: The table, which nobody else fills.
    """

    def __init__(self, host: Host, processes: ProcessTable) -> None:
        self._host = host
        self._processes = processes

    def look(self) -> None:
        """Take on who has a socket now, and forget who has none any more, or has become another one."""
        ports: dict[int, set[int]] = {}
        for socket in self._host.sockets().sockets:
            for pid, _ in socket.owners:
                of_this = ports.setdefault(pid, set())
                if socket.listening:
                    of_this.add(socket.local_port)
        for process in self._processes.present():
            if process.pid not in ports or self._host.process(process.pid) != process.facts:
                self._processes.left(process.pid)
        for pid in sorted(ports):
            adopted = self._processes.adopt(pid)
            if adopted is not None:
                for port in sorted(ports[pid]):
                    self._processes.listens(adopted, port)
