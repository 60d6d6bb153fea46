import base64
import hashlib

import grpc
import pytest

from backend.server.companions import process_id
from protos.common.command_pb2 import Commands
from protos.ebpf import continuous_pb2 as continuous
from protos.ebpf import process_pb2 as process
from protos.ebpf import profile_pb2 as profile
from protos.ebpf.continuous_pb2_grpc import ContinuousProfilingServiceStub
from protos.ebpf.process_pb2_grpc import EBPFProcessServiceStub
from protos.ebpf.profile_pb2_grpc import EBPFProfilingServiceStub
from tests.backend.server.support import Full, receiving

WORD = "secret"


def entity(name: str) -> process.EBPFProcessEntityMetadata:
    return process.EBPFProcessEntityMetadata(
        layer="K8S_SERVICE", serviceName="shop.default", instanceName="shop-1", processName=name, labels=["x"]
    )


def expected_id(name: str) -> str:
    service = base64.b64encode(b"shop.default").decode() + ".1"
    instance = service + "_" + base64.b64encode(b"shop-1").decode()
    return hashlib.sha256(f"{name}_{instance}".encode()).hexdigest()


def test_the_id_of_a_process_is_that_of_skywalking() -> None:
    assert process_id(entity("java")) == expected_id("java")


async def test_reported_processes_get_their_ids_and_are_echoed() -> None:
    reported = process.EBPFProcessReportList(ebpfAgentID="agent")
    reported.processes.add().k8sProcess.CopyFrom(
        process.EBPFKubernetesProcessMetadata(entity=entity("java"), pid=11, properties=[{"key": "k", "value": "v"}])
    )
    reported.processes.add()
    reported.processes.add().hostProcess.CopyFrom(process.EBPFHostProcessMetadata(entity=entity("bash"), pid=12))
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        answer = await EBPFProcessServiceStub(channel).reportProcesses(reported, timeout=30)
    first, second = answer.processes
    assert (first.processId, first.k8sProcess.pid) == (expected_id("java"), 11)
    assert first.k8sProcess.entityMetadata == entity("java")
    assert (second.processId, second.hostProcess.pid) == (expected_id("bash"), 12)
    assert second.hostProcess.entityMetadata == entity("bash")


async def test_what_an_agent_asks_for_is_answered_with_no_commands() -> None:
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        answers = [
            await EBPFProcessServiceStub(channel).keepAlive(process.EBPFProcessPingPkgList(ebpfAgentID="a")),
            await EBPFProfilingServiceStub(channel).queryTasks(profile.EBPFProfilingTaskQuery(roverInstanceId="a")),
            await ContinuousProfilingServiceStub(channel).queryPolicies(continuous.ContinuousProfilingPolicyQuery()),
        ]
    assert answers == [Commands()] * 3


async def test_a_message_that_cannot_be_decoded_is_internal() -> None:
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        call = channel.unary_unary("/skywalking.v3.EBPFProcessService/keepAlive")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\x0a\xff", timeout=30)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_a_token_is_asked_for_by_every_service() -> None:
    async with receiving(Full(), token=WORD) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        stub = EBPFProcessServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.keepAlive(process.EBPFProcessPingPkgList(), timeout=30)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await stub.keepAlive(process.EBPFProcessPingPkgList(), metadata=[("authentication", WORD)], timeout=30)
