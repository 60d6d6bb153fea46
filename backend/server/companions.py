"""Services that a Rover agent calls beside access logs, so that it stays connected and quiet.

Nothing is profiled and processes are not stored: the answers are what keeps an agent going.
"""

import hashlib
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from backend.entities.ids import instance_id, service_id
from backend.ingest.status import CallError, Status
from backend.server.calls import Call, Handler, Reply
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

MessageT_co = TypeVar("MessageT_co", bound=Message, covariant=True)


class _Parser(Protocol[MessageT_co]):
    def FromString(self, data: bytes, /) -> MessageT_co: ...  # noqa: N802 - protobuf's name


async def _read(call: Call, kind: _Parser[MessageT_co]) -> MessageT_co:
    data = await call.message(MESSAGE_LIMIT)
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise CallError(Status.INTERNAL, f"the message cannot be decoded: {error}") from error


def _answers_nothing(kind: _Parser[Message]) -> Handler:
    """A handler that takes a message and answers an empty list of commands."""

    async def handle(call: Call) -> Reply:
        await _read(call, kind)
        return Reply(Commands().SerializeToString())

    return handle


def process_id(entity: EBPFProcessEntityMetadata) -> str:
    """The id of a process, as SkyWalking makes it: SHA-256 of its name, an underscore and its instance's id."""
    instance = instance_id(service_id(entity.serviceName), entity.instanceName)
    return hashlib.sha256(f"{entity.processName}_{instance}".encode()).hexdigest()


async def report_processes(call: Call) -> Reply:
    """Give each reported process its id; an agent ignores processes that have none."""
    reported = await _read(call, EBPFProcessReportList)
    answer = EBPFReportProcessDownstream()
    for process in reported.processes:
        match process.WhichOneof("metadata"):
            case "hostProcess":
                named = EBPFProcessDownstream(processId=process_id(process.hostProcess.entity))
                named.hostProcess.pid = process.hostProcess.pid
                named.hostProcess.entityMetadata.CopyFrom(process.hostProcess.entity)
            case "k8sProcess":
                named = EBPFProcessDownstream(processId=process_id(process.k8sProcess.entity))
                named.k8sProcess.pid = process.k8sProcess.pid
                named.k8sProcess.entityMetadata.CopyFrom(process.k8sProcess.entity)
            case _:
                continue
        answer.processes.append(named)
    return Reply(answer.SerializeToString())


HANDLERS: dict[str, Handler] = {
    "/skywalking.v3.EBPFProcessService/reportProcesses": report_processes,
    "/skywalking.v3.EBPFProcessService/keepAlive": _answers_nothing(EBPFProcessPingPkgList),
    "/skywalking.v3.EBPFProfilingService/queryTasks": _answers_nothing(EBPFProfilingTaskQuery),
    "/skywalking.v3.ContinuousProfilingService/queryPolicies": _answers_nothing(ContinuousProfilingPolicyQuery),
}
