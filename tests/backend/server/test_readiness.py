from typing import Any

import grpc
import httpx
import pytest

from backend.ingest.status import CallError
from backend.server.application import BackendApplication
from backend.server.readiness import HEALTH_PATH, WATCH_PATH, Readiness, requested_service
from backend.server.serving import listen, serving
from protos.health.health_pb2 import HealthCheckResponse
from tests.waiting import PATIENCE, eventually


async def test_health_over_http_and_grpc_from_the_start_to_the_end() -> None:
    readiness = Readiness(("decoder", "storage"))
    application = BackendApplication(readiness)
    listener = listen("127.0.0.1", 0, "")
    async with (
        serving(application, [listener], 5.0),
        httpx.AsyncClient(base_url=f"http://{listener.authority}", timeout=PATIENCE) as client,
        grpc.aio.insecure_channel(listener.authority) as channel,
    ):

        async def look() -> tuple[int, dict[str, object], bytes]:
            answer = await client.get("/healthcheck")
            return (
                answer.status_code,
                answer.json(),
                await channel.unary_unary(HEALTH_PATH, bytes, bytes)(b"", timeout=120),
            )

        starting = {"decoder": "starting", "storage": "starting"}
        assert await look() == (503, {"status": "starting", "parts": starting}, b"\x08\x02")
        assert (await client.get("/api/services")).status_code == 503
        readiness.done("decoder")
        assert (await look())[0] == 503
        readiness.done("storage")
        ready = {"decoder": "ready", "storage": "ready"}
        assert await look() == (200, {"status": "ready", "parts": ready}, b"\x08\x01")
        readiness.stop()
        assert await look() == (503, {"status": "stopping", "parts": ready}, b"\x08\x02")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\x0a\x23skywalking.v3.EBPFAccessLogService"[:2] + b"skywalking.v3.EBPFAccessLogService!", "OK"),
        (b"\x0a\x05other", "NOT_FOUND"),
        (b"\x0a\xff", "INVALID_ARGUMENT"),
    ],
)
async def test_health_of_one_service(message: bytes, code: str) -> None:
    listener = listen("127.0.0.1", 0, "")
    async with (
        serving(BackendApplication(Readiness(())), [listener], 5.0),
        grpc.aio.insecure_channel(listener.authority) as channel,
    ):
        call = channel.unary_unary(HEALTH_PATH, bytes, bytes)(message, timeout=120)
        assert (await call.code()).name == code


def test_requests_for_health() -> None:
    assert requested_service(b"") == ""
    assert requested_service(b"\x0a\x00") == ""
    assert requested_service(b"\x0a\x03a.B") == "a.B"
    assert requested_service(b"\x0a\x80\x01" + b"a" * 128) == "a" * 128
    assert requested_service(b"\x10\x01") == ""  # a field of a later version
    for broken in (b"\x0a", b"\x0a\x02a", b"\x0a\x01ab", b"\x0a\x01\xff"):
        with pytest.raises(CallError):
            requested_service(broken)


async def read(call: Any) -> Any:  # noqa: ANN401 # what the stubs of gRPC say of it is an object
    return await call.read()


def status(data: bytes) -> str:
    return HealthCheckResponse.ServingStatus.Name(HealthCheckResponse.FromString(data).status)


async def test_whoever_watches_hears_of_each_change_and_of_the_end() -> None:
    readiness = Readiness(("decoder", "storage"))
    listener = listen("127.0.0.1", 0, "")
    async with (
        serving(BackendApplication(readiness), [listener], 5.0),
        grpc.aio.insecure_channel(listener.authority) as channel,
    ):
        watch = channel.unary_stream(WATCH_PATH, bytes, bytes)
        one, other = watch(b"", timeout=120), watch(b"\x0a\x05other", timeout=120)
        assert status(await read(one)) == "NOT_SERVING"
        assert status(await read(other)) == "SERVICE_UNKNOWN"
        readiness.done("decoder")  # which is no change
        readiness.done("storage")
        assert status(await read(one)) == "SERVING"
        late = watch(b"", timeout=120)
        assert status(await read(late)) == "SERVING"
        readiness.stop()
        for call in (one, late):
            assert status(await read(call)) == "NOT_SERVING"
        for call in (one, other, late):
            assert await call.read() is grpc.aio.EOF  # type: ignore[attr-defined] # the stubs leave it out
            assert await call.code() is grpc.StatusCode.OK


async def test_a_watch_ends_when_its_client_goes() -> None:
    application = BackendApplication(Readiness(()))
    listener = listen("127.0.0.1", 0, "")
    async with (
        serving(application, [listener], 5.0),
        grpc.aio.insecure_channel(listener.authority) as channel,
    ):
        calls = [channel.unary_stream(WATCH_PATH, bytes, bytes)(b"", timeout=120) for _ in range(5)]
        for call in calls:
            await call.read()
        assert application.grpc.handling == 5
        for call in calls:
            call.cancel()
        await eventually(lambda: application.grpc.handling == 0)
        assert application.grpc.calls[WATCH_PATH, "CANCELLED"] == 5


async def test_a_watch_ends_when_its_time_is_over() -> None:
    listener = listen("127.0.0.1", 0, "")
    async with (
        serving(BackendApplication(Readiness(())), [listener], 5.0),
        grpc.aio.insecure_channel(listener.authority) as channel,
    ):
        call = channel.unary_stream(WATCH_PATH, bytes, bytes)(b"", timeout=0.2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [state async for state in call]
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
