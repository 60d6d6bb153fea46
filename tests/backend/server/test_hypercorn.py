"""The application depends on nothing but ASGI: another server serves it as well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from backend.server.access_logs import AccessLogService
from backend.server.application import BackendApplication
from backend.server.serving import listen
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.support import Collecting, Full, application_of
from tests.waiting import PATIENCE


@asynccontextmanager
async def run(application: BackendApplication) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0, "")
    config = Config()
    config.bind = [f"fd://{listener.socket.detach()}"]
    config.loglevel = "ERROR"
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(application, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type] # its own types of the same
    try:
        yield listener.authority
    finally:
        stop.set()
        await serving


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_grpcio_client_is_answered(compression: grpc.Compression) -> None:
    sink = Collecting()
    sizes = list(range(1, 501))
    messages = [message(read_log(size=size), node="n" if size == 1 else None, remote="a") for size in sizes]
    async with (
        run(application_of(AccessLogService(sink))) as address,
        grpc.aio.insecure_channel(address, compression=compression) as channel,
    ):
        await EBPFAccessLogServiceStub(channel).collect(iter(messages), timeout=120)
    assert sink.sizes() == sizes


async def test_errors_and_trailers_arrive() -> None:
    async with run(application_of(AccessLogService(Full()))) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            call = EBPFAccessLogServiceStub(channel).collect(iter([message(read_log())]), timeout=120)
            await call
            assert dict(await call.trailing_metadata())["pyrover-dropped"] == "no_connection=1"
            full = EBPFAccessLogServiceStub(channel).collect(
                iter([message(read_log(), node="n", remote="a")]), timeout=120
            )
            assert await full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        # hypercorn ends a connection on which a body still comes when its call has been answered.
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary("/not/served", bytes, bytes)(b"", timeout=120)
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_http_is_answered_beside_it() -> None:
    async def hello(_request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    application = application_of(AccessLogService(Full()), [Route("/hello", hello)])
    async with (
        run(application) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as client,
    ):
        assert (await client.get("/hello")).text == "hello"
        assert (await client.get("/healthcheck")).status_code == 200
