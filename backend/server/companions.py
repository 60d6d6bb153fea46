"""Services that a Rover agent calls beside access logs, so that it stays connected and quiet.

Nothing is profiled and processes are not stored: the answers are what keeps an agent going. What agents say of their
processes keeps services and instances in the store that nobody calls (backend/server/presence.py).
"""

import difflib
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from backend.agents.book import Peer
from backend.entities.ids import instance_id, service_id
from backend.entities.layers import LAYERS
from backend.entities.names import NameLimits
from backend.ingest.status import CallError, Status
from backend.server.calls import Call, Handler, Reply
from backend.server.presence import Presence, Present
from protos.common.command_pb2 import Commands
from protos.ebpf.continuous_pb2 import ContinuousProfilingPolicyQuery
from protos.ebpf.process_pb2 import (
    EBPFProcessDownstream,
    EBPFProcessEntityMetadata,
    EBPFProcessPingPkgList,
    EBPFProcessReportList,
    EBPFReportProcessDownstream,
)
from protos.ebpf.profile_pb2 import EBPFProfilingTaskQuery

MESSAGE_LIMIT = 4 * 1024 * 1024

_Answers = Callable[[Call], Awaitable[Reply]]
MessageT_co = TypeVar("MessageT_co", bound=Message, covariant=True)


class _Parser(Protocol[MessageT_co]):
    def FromString(self, data: bytes, /) -> MessageT_co: ...  # noqa: N802 - protobuf's name


async def _read(call: Call, kind: _Parser[MessageT_co]) -> MessageT_co:
    data = await call.message(MESSAGE_LIMIT)
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise CallError(Status.INTERNAL, f"the message cannot be decoded: {error}") from error


def _answers_nothing(kind: _Parser[Message]) -> _Answers:
    """A handler that takes a message and answers an empty list of commands."""

    async def handle(call: Call) -> Reply:
        await _read(call, kind)
        return Reply(Commands().SerializeToString())

    return handle


def process_id(entity: EBPFProcessEntityMetadata, limits: NameLimits) -> str:
    """The id of a process, as SkyWalking makes it: SHA-256 of its name, an underscore and its instance's id."""
    service = service_id(entity.serviceName[: limits.service])
    instance = instance_id(service, entity.instanceName[: limits.instance])
    return hashlib.sha256(f"{entity.processName}_{instance}".encode()).hexdigest()


def present(entities: Iterable[EBPFProcessEntityMetadata]) -> list[Present]:
    """The instances that processes belong to, each once.

    Raises:
        CallError: INVALID_ARGUMENT for a layer that does not exist. Nothing of such a message counts.
    """
    found = list(dict.fromkeys(Present(entity.serviceName, entity.layer, entity.instanceName) for entity in entities))
    for service, layer, _ in found:
        if layer not in LAYERS:
            nearest = difflib.get_close_matches(layer.upper(), LAYERS, 1)
            hint = (
                f"did you mean {nearest[0]!r}?" if nearest else "Rover's usual ones are K8S_SERVICE, MESH and MESH_DP"
            )
            raise CallError(
                Status.INVALID_ARGUMENT, f"there is no layer {layer!r}, which {service!r} is said to be in; {hint}"
            )
    return found


@dataclass(frozen=True, slots=True)
class ProcessService:
    """EBPFProcessService.

    Args:
        presence: Hears of every process that is reported or still there.
    """

    presence: Presence

    async def report(self, call: Call) -> Reply:
        """reportProcesses: give each reported process its id; an agent ignores processes that have none."""
        reported = await _read(call, EBPFProcessReportList)
        answer = EBPFReportProcessDownstream()
        entities: list[EBPFProcessEntityMetadata] = []
        for process in reported.processes:
            named = EBPFProcessDownstream()
            match process.WhichOneof("metadata"):
                case "hostProcess":
                    entity = process.hostProcess.entity
                    named.hostProcess.pid = process.hostProcess.pid
                    named.hostProcess.entityMetadata.CopyFrom(entity)
                case "k8sProcess":
                    entity = process.k8sProcess.entity
                    named.k8sProcess.pid = process.k8sProcess.pid
                    named.k8sProcess.entityMetadata.CopyFrom(entity)
                case _:
                    continue
            named.processId = process_id(entity, self.presence.limits)
            entities.append(entity)
            answer.processes.append(named)
        self.presence.see(present(entities))
        return Reply(answer.SerializeToString())

    async def keep_alive(self, call: Call) -> Reply:
        """keepAlive: take note of processes that are still there."""
        pinged = await _read(call, EBPFProcessPingPkgList)
        self.presence.see(present(process.entityMetadata for process in pinged.processes))
        return Reply(Commands().SerializeToString())


def handlers(presence: Presence, alive: Callable[[Peer], None] = lambda _peer: None) -> dict[str, Handler]:
    """The calls by path.

    Args:
        presence: Hears of every process that is reported or still there.
        alive: Is told by whose connection a call came that was answered.
    """
    processes = ProcessService(presence)
    answers = {
        "/skywalking.v3.EBPFProcessService/reportProcesses": processes.report,
        "/skywalking.v3.EBPFProcessService/keepAlive": processes.keep_alive,
        "/skywalking.v3.EBPFProfilingService/queryTasks": _answers_nothing(EBPFProfilingTaskQuery),
        "/skywalking.v3.ContinuousProfilingService/queryPolicies": _answers_nothing(ContinuousProfilingPolicyQuery),
    }
    return {path: _telling(answer, alive) for path, answer in answers.items()}


def _telling(answer: _Answers, alive: Callable[[Peer], None]) -> Handler:
    async def handle(call: Call) -> Reply:
        reply = await answer(call)
        if call.peer is not None:
            alive(call.peer)
        return reply

    return handle
