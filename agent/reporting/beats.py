"""What is told of processes at each heartbeat: those that are new, and that the others are still there.

Messages and their meaning: protos/ebpf/process.proto, and the reports of SkyWalking Rover.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from agent.discovery.kubernetes.analyzers import Entity
from agent.discovery.processes import Process
from agent.reporting.hosts import HostEntities
from protos.ebpf import process_pb2 as wire

REPORT: Final = "/skywalking.v3.EBPFProcessService/reportProcesses"
KEEP_ALIVE: Final = "/skywalking.v3.EBPFProcessService/keepAlive"
CALL_PROCESSES: Final = 500
"""Processes of a call at most: far below 4 MB, which gRPC servers accept by default."""
LONGEST_PROPERTY: Final = 2048
"""Characters of a property; only command lines are longer."""


class Present(NamedTuple):
    """A process under one of its names."""

    pid: int
    start_ticks: int
    entity: Entity
    properties: tuple[tuple[str, str], ...]
    on_host: bool = False
    """Whether it is in no pod."""

    @property
    def key(self) -> "Key":
        """What is the same as long as the process is, under that name."""
        return self.pid, self.start_ticks, self.entity


Key = tuple[int, int, Entity]


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make."""

    path: str
    message: bytes
    keys: tuple[Key, ...]
    """What it tells of."""


def present(processes: Iterable[Process], hosts: HostEntities | None = None) -> list[Present]:
    """Processes under all of their names.

    Args:
        processes: Of which something is told.
        hosts: Names those that are in no pod; None when these are not reported.
    """
    found = []
    for process in processes:
        if process.facts is None:
            continue
        pid, start = process.pid, process.facts.start_ticks
        named = process.named
        found += [Present(pid, start, entity, named.properties) for entity in named.entities]
        if hosts is not None and not named.entities:
            found.append(Present(pid, start, hosts.entity(process), hosts.properties(process), on_host=True))
    return found


class Beats:
    """Knows what the backend was told. A report that fails is made again at the next beat."""

    def __init__(self, agent: str, report_every: int) -> None:
        """Nothing is told yet.

        Args:
            agent: An id of this run of the agent.
            report_every: At each so many beats everything is reported again.
        """
        self._agent = agent
        self._report_every = report_every
        self._known: set[Key] = set()
        self._beats = 0

    def beat(self, processes: Sequence[Present]) -> list[Call]:
        """The calls of a beat; what is not there any more is forgotten."""
        self._known &= {each.key for each in processes}
        everything = self._beats % self._report_every == 0
        self._beats += 1
        new = [each for each in processes if everything or each.key not in self._known]
        old = [each for each in processes if not everything and each.key in self._known]
        return [*_calls(REPORT, new, self._report), *_calls(KEEP_ALIVE, old, self._keep_alive)]

    def answered(self, call: Call, *, accepted: bool) -> None:
        """What became of a call. What was refused is reported anew at the next beat."""
        if accepted:
            self._known.update(call.keys)
        else:
            self._known.difference_update(call.keys)

    def _report(self, processes: Iterable[Present]) -> bytes:
        message = wire.EBPFProcessReportList(ebpfAgentID=self._agent)
        for each in processes:
            added = message.processes.add()
            told = added.hostProcess if each.on_host else added.k8sProcess
            told.pid = each.pid
            told.entity.CopyFrom(_entity(each.entity))
            for key, value in each.properties:
                told.properties.add(key=key, value=value[:LONGEST_PROPERTY])
        return message.SerializeToString(deterministic=True)

    def _keep_alive(self, processes: Iterable[Present]) -> bytes:
        message = wire.EBPFProcessPingPkgList(ebpfAgentID=self._agent)
        for each in processes:
            told = message.processes.add()
            told.entityMetadata.CopyFrom(_entity(each.entity))
            for key, value in each.properties:
                if key == "support_ebpf_profiling":
                    told.properties.add(key=key, value=value)
        return message.SerializeToString(deterministic=True)


def _calls(path: str, processes: Sequence[Present], encode: Callable[[Sequence[Present]], bytes]) -> list[Call]:
    portions = [processes[at : at + CALL_PROCESSES] for at in range(0, len(processes), CALL_PROCESSES)]
    return [Call(path, encode(portion), tuple(each.key for each in portion)) for portion in portions]


def _entity(entity: Entity) -> wire.EBPFProcessEntityMetadata:
    return wire.EBPFProcessEntityMetadata(
        layer=entity.layer,
        serviceName=entity.service,
        instanceName=entity.instance,
        processName=entity.process,
        labels=entity.labels,
    )
