"""The agent where access logs are switched off: it tells which processes there are, and does nothing in the kernel."""

import os
import time

from agent.commands.capture import STEP_SECONDS, Stop, monotonic_ns, node_name, open_containers
from agent.commands.credentials import Credentials
from agent.commands.reporting import host_entities
from agent.config import Configuration
from agent.discovery.host import Host
from agent.discovery.kubernetes.names import PodNames
from agent.discovery.naming import Naming
from agent.discovery.presence import ProcessesPresent
from agent.discovery.processes import ProcessTable
from agent.discovery.procfs import ProcHost
from agent.reporting.beats import Present, present
from agent.reporting.reporter import Reporter
from agent.telemetry.messages import Messages

NOTHING_TO_DO = (
    "access_log.active is false, and there are no processes to report: set it to true, or"
    " process_discovery.kubernetes.active or discovery.reported"
)


class ProcessesOnly:
    """Looks for the processes that have sockets at each heartbeat, as nothing tells when they come and go."""

    def __init__(self, configuration: Configuration, pods: PodNames | None, reporter: Reporter) -> None:
        """Put everything together; nothing happens yet."""
        containers = open_containers(configuration) if pods is None else None  # pods have names of their own
        self._host: Host = ProcHost(configuration.discovery.proc, excluded=[os.getpid()], containers=containers)
        naming = Naming(node_name(configuration), configuration.rules())
        self._processes = ProcessTable(self._host, naming, configuration.limits.processes, pods)
        self._present = ProcessesPresent(self._host, self._processes)
        self._configuration = configuration
        self._reporter = reporter

    def run(self, stop: Stop, messages: Messages, credentials: Credentials) -> None:
        """Report until it is time to stop."""
        backend = self._configuration.core.backend.addr
        messages.say(f"access_log.active is false: no access logs are told, processes are reported to {backend}")
        while not stop:
            self.step(monotonic_ns())
            credentials.refresh()
            time.sleep(STEP_SECONDS)

    def step(self, now_ns: int) -> None:
        """Name what is known, and report when it is time to; `now_ns` is CLOCK_MONOTONIC."""
        self._processes.refresh(now_ns)
        self._reporter.tick(now_ns, self._found)

    def _found(self) -> list[Present]:
        self._present.look()
        return present(self._processes.told(), host_entities(self._configuration, self._host))
