from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from backend.server.reflection import FILES, Reflection
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from protos.reflection.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.support import Full, receiving

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "skywalking.v3.ContinuousProfilingService",
    "skywalking.v3.EBPFAccessLogService",
    "skywalking.v3.EBPFProcessService",
    "skywalking.v3.EBPFProfilingService",
]


def ask(**question: Any) -> ServerReflectionResponse:  # noqa: ANN401 # one of several fields
    return Reflection(FILES).respond(ServerReflectionRequest(host="here", **question))


def pool_of(response: ServerReflectionResponse) -> DescriptorPool:
    """What a client makes of an answer: it can only be made when nothing is missing."""
    pool = DescriptorPool()
    waiting = [FileDescriptorProto.FromString(data) for data in response.file_descriptor_response.file_descriptor_proto]
    known: set[str] = set()
    while waiting:
        ready = [file for file in waiting if known.issuperset(file.dependency)]
        assert ready, [file.name for file in waiting]
        for file in ready:
            pool.Add(file)
            known.add(file.name)
            waiting.remove(file)
    return pool


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_a_client_reads_what_it_needs_to_call_a_service_that_it_does_not_know(version: str) -> None:
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        information: Any = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        call = information(timeout=120)
        # Each question is answered before the next one is asked.
        await call.write(ServerReflectionRequest(list_services=""))
        listed = await call.read()
        assert [service.name for service in listed.list_services_response.service] == SERVICES
        await call.write(ServerReflectionRequest(file_containing_symbol="skywalking.v3.EBPFAccessLogService"))
        pool = pool_of(await call.read())
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF  # type: ignore[attr-defined] # the stubs leave it out
        assert await call.code() is grpc.StatusCode.OK
    method = pool.FindMethodByName("skywalking.v3.EBPFAccessLogService.collect")
    sent = message(read_log(), node="n", remote="10.0.0.1").SerializeToString()
    read = GetMessageClass(method.input_type).FromString(sent)
    assert str(read) == str(EBPFAccessLogMessage.FromString(sent))


@pytest.mark.parametrize(
    "symbol",
    [
        *SERVICES,
        "skywalking.v3.EBPFAccessLogService.collect",
        "skywalking.v3.AccessLogKernelLog",
        "skywalking.v3.AccessLogKernelLog.connect",
        "skywalking.v3.DetectPoint",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
    ],
)
def test_the_file_of_a_symbol_comes_with_all_that_it_imports(symbol: str) -> None:
    response = ask(file_containing_symbol=symbol)
    first = response.file_descriptor_response.file_descriptor_proto[0]
    file = pool_of(response).FindFileByName(FileDescriptorProto.FromString(first).name)
    assert symbol.startswith(file.package)
    name = symbol.removeprefix(f"{file.package}.").partition(".")[0]
    assert {*file.services_by_name, *file.message_types_by_name, *file.enum_types_by_name} >= {name}
    assert ask(file_by_filename=file.name).file_descriptor_response == response.file_descriptor_response


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "skywalking.v3.Nothing"},
        {"file_containing_symbol": "google.protobuf.FileDescriptorProto"},
        {"file_by_filename": "/etc/passwd"},
        {"all_extension_numbers_of_type": "skywalking.v3.Nothing"},
        {"file_containing_extension": {"containing_type": "skywalking.v3.DetectPoint", "extension_number": 1}},
    ],
)
def test_what_is_not_served_is_not_found(question: dict[str, Any]) -> None:
    response = ask(**question)
    assert response.error_response.error_code == 5
    assert "is not served here" in response.error_response.error_message
    assert response.original_request == ServerReflectionRequest(host="here", **question)
    assert response.valid_host == "here"


def test_no_type_has_extensions_and_no_question_is_an_error() -> None:
    name = "skywalking.v3.EBPFAccessLogMessage"
    assert ask(all_extension_numbers_of_type=name).all_extension_numbers_response.base_type_name == name
    assert ask().error_response.error_code == 3


async def test_a_question_that_cannot_be_read_ends_the_call() -> None:
    async def questions() -> AsyncIterator[bytes]:
        yield ServerReflectionRequest(list_services="").SerializeToString()
        yield b"\xff"

    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        call = channel.stream_stream(path, bytes, bytes)(questions(), timeout=120)
        assert await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INTERNAL
