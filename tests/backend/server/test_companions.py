import base64
import hashlib

import grpc
import pytest

from backend.agents.book import SILENT_AFTER, AgentBook
from backend.entities import ids
from backend.entities.names import NameLimits
from backend.server.access_logs import AccessLogService
from backend.server.companions import process_id
from backend.server.presence import Presence
from backend.storage.interface import Instance, Service
from backend.storage.memory import MemoryStorage
from protos.common.command_pb2 import Commands
from protos.ebpf import continuous_pb2 as continuous
from protos.ebpf import process_pb2 as process
from protos.ebpf import profile_pb2 as profile
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
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
    assert process_id(entity("java"), NameLimits()) == expected_id("java")
    # Names are cut before an id is made of them, as those of access logs are.
    long = entity("java")
    long.serviceName, long.instanceName = "shop.default" + "x" * 70, "shop-1" + "y" * 70
    assert process_id(long, NameLimits(service=12, instance=6)) == expected_id("java")


def pings(*entities: process.EBPFProcessEntityMetadata) -> process.EBPFProcessPingPkgList:
    """What Rover sends every 20 seconds."""
    made = process.EBPFProcessPingPkgList(ebpfAgentID="2f9a")
    for each in entities:
        made.processes.add(entityMetadata=each, properties=[{"key": "support_ebpf_profiling", "value": "true"}])
    return made


async def test_services_and_instances_are_kept_that_nobody_calls() -> None:
    storage = MemoryStorage()
    presence = Presence(storage, clock=lambda: 600.0)
    mesh = process.EBPFProcessEntityMetadata(layer="MESH", serviceName="shop.default", instanceName="shop-1")
    reported = process.EBPFProcessReportList(ebpfAgentID="2f9a")
    reported.processes.add().k8sProcess.entity.CopyFrom(mesh)
    async with (
        receiving(Full(), presence=presence) as receiver,
        grpc.aio.insecure_channel(receiver.address) as channel,
    ):
        stub = EBPFProcessServiceStub(channel)
        await stub.keepAlive(pings(entity("java"), entity("bash")), timeout=120)
        await stub.reportProcesses(reported, timeout=120)
        assert await presence.write()
    service = ids.service_id("shop.default")
    assert storage.services() == [Service(service, "shop.default", "K8S_SERVICE", 10, 10, more_layers=("MESH",))]
    assert storage.instances(service, 0, 20) == [
        Instance(ids.instance_id(service, "shop-1"), service, "shop-1", 10, 10)
    ]


@pytest.mark.parametrize(
    ("layer", "hint"), [("K8S_SERVICES", "did you mean 'K8S_SERVICE'?"), ("", "Rover's usual ones are")]
)
async def test_a_layer_that_does_not_exist_is_an_error_and_nothing_of_the_message_counts(layer: str, hint: str) -> None:
    presence = Presence(MemoryStorage())
    wrong = entity("java")
    wrong.layer = layer
    reported = process.EBPFProcessReportList()
    reported.processes.add().k8sProcess.entity.CopyFrom(entity("java"))
    reported.processes.add().k8sProcess.entity.CopyFrom(wrong)
    async with (
        receiving(Full(), presence=presence) as receiver,
        grpc.aio.insecure_channel(receiver.address) as channel,
    ):
        stub = EBPFProcessServiceStub(channel)
        for call, message in ((stub.keepAlive, pings(entity("java"), wrong)), (stub.reportProcesses, reported)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(message, timeout=120)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert f"there is no layer {layer!r}, which 'shop.default' is said to be in; {hint}" in (
                caught.value.details() or ""
            )
    assert len(presence) == 0


async def test_reported_processes_get_their_ids_and_are_echoed() -> None:
    reported = process.EBPFProcessReportList(ebpfAgentID="agent")
    reported.processes.add().k8sProcess.CopyFrom(
        process.EBPFKubernetesProcessMetadata(entity=entity("java"), pid=11, properties=[{"key": "k", "value": "v"}])
    )
    reported.processes.add()
    reported.processes.add().hostProcess.CopyFrom(process.EBPFHostProcessMetadata(entity=entity("bash"), pid=12))
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        answer = await EBPFProcessServiceStub(channel).reportProcesses(reported, timeout=120)
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


async def test_an_agent_without_logs_is_there_as_long_as_it_asks_by_the_connection_of_its_streams() -> None:
    now = 1_000.0
    book = AgentBook(clock=lambda: now)
    service = AccessLogService(Full(), hear=book.hear)
    named = EBPFAccessLogMessage(node={"name": "quiet"})
    async with (
        receiving(service, alive=book.alive) as receiver,
        grpc.aio.insecure_channel(receiver.address, [("grpc.use_local_subchannel_pool", 1)]) as own,
        grpc.aio.insecure_channel(receiver.address, [("grpc.use_local_subchannel_pool", 1)]) as other,
    ):
        await EBPFAccessLogServiceStub(own).collect([named], timeout=120)
        heard = []
        for channel in (other, own):
            now += SILENT_AFTER
            await EBPFProcessServiceStub(channel).keepAlive(process.EBPFProcessPingPkgList(), timeout=120)
            heard += [(agent.node, agent.last_heard, agent.is_silent(now)) for agent in book.agents()]
    assert heard == [("quiet", 1_000.0, True), ("quiet", 1_240.0, False)]


async def test_a_message_that_cannot_be_decoded_is_internal() -> None:
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        call = channel.unary_unary("/skywalking.v3.EBPFProcessService/keepAlive", bytes, bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\x0a\xff", timeout=120)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_a_token_is_asked_for_by_every_service() -> None:
    async with receiving(Full(), token=WORD) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        stub = EBPFProcessServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.keepAlive(process.EBPFProcessPingPkgList(), timeout=120)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await stub.keepAlive(process.EBPFProcessPingPkgList(), metadata=[("authentication", WORD)], timeout=120)
