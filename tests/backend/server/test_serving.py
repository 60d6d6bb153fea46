import asyncio
import resource
import socket

import grpc
import httpx
import pytest

from backend.server.access_logs import AccessLogService
from backend.server.serving import PortError, listen, most_connections, serving
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.support import Collecting, application_of, receiving
from tests.waiting import PATIENCE, eventually


async def test_both_ports_serve_the_same_application() -> None:
    sink = Collecting()
    listeners = [listen("127.0.0.1", 0, ""), listen("127.0.0.1", 0, "")]
    assert listeners[0].port != listeners[1].port
    async with serving(application_of(AccessLogService(sink)), listeners, 5.0):
        for listener in listeners:
            async with grpc.aio.insecure_channel(listener.authority) as channel:
                messages = [message(read_log(), node="n", remote="a")]
                await EBPFAccessLogServiceStub(channel).collect(iter(messages), timeout=120)
            async with httpx.AsyncClient(base_url=f"http://{listener.authority}", timeout=PATIENCE) as client:
                assert (await client.get("/healthcheck")).status_code == 200
    assert sink.logs == 2


@pytest.mark.parametrize(
    ("files", "connections"),
    [(resource.RLIM_INFINITY, 4_096), (1_048_576, 4_096), (12_544, 4_096), (12_541, 4_095), (1_024, 256), (64, 1)],
)
def test_connections_leave_files_for_everything_else(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most_connections() == connections


def test_a_port_in_use_is_named_with_the_option_that_chooses_another() -> None:
    taken = listen("127.0.0.1", 0, "--grpc-port")
    with pytest.raises(PortError) as caught:
        listen("127.0.0.1", taken.port, "--grpc-port")
    assert f"127.0.0.1:{taken.port}" in str(caught.value)
    assert "--grpc-port" in str(caught.value)
    taken.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(PortError, match="Name an address of this machine") as refused:
        listen(host, 0, "--grpc-port")
    assert str(refused.value).startswith(f"cannot listen on {host}:0: ")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_ipv6() -> None:
    listener = listen("::1", 0, "")
    assert listener.authority == f"[::1]:{listener.port}"
    async with (
        serving(application_of(AccessLogService(Collecting())), [listener], 5.0),
        httpx.AsyncClient(base_url=f"http://{listener.authority}", timeout=PATIENCE) as client,
    ):
        assert (await client.get("/healthcheck")).status_code == 200


async def test_at_the_end_no_more_is_accepted_and_open_streams_finish() -> None:
    sink = Collecting()
    async with asyncio.timeout(PATIENCE):
        async with receiving(sink, grace=100.0) as receiver:
            channel = grpc.aio.insecure_channel(receiver.address)
            call = EBPFAccessLogServiceStub(channel).collect()
            await call.write(message(read_log(), node="n", remote="a"))
            await eventually(lambda: sink.logs == 1)

            async def finish() -> None:
                while await accepts(receiver.listener.port):  # noqa: ASYNC110 - the kernel sets no event
                    await asyncio.sleep(0.01)
                await call.write(message(read_log()))
                await call.done_writing()
                await call

            finishing = asyncio.ensure_future(finish())
        await finishing
        await channel.close(None)
    assert sink.logs == 2


async def test_streams_that_do_not_finish_in_time_are_cut() -> None:
    sink = Collecting()
    async with asyncio.timeout(PATIENCE):
        async with receiving(sink, grace=3.0) as receiver:  # twice that is all that a busy machine has to cut it
            channel = grpc.aio.insecure_channel(receiver.address)
            call = EBPFAccessLogServiceStub(channel).collect()
            await call.write(message(read_log(), node="n", remote="a"))
            await eventually(lambda: sink.logs == 1)
        assert await call.code() is not grpc.StatusCode.OK
        await channel.close(None)


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True
