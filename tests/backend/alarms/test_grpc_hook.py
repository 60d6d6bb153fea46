"""The gRPC hook and a server made with grpcio: what it reads, and what its answers mean."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from grpc import StatusCode, aio

from backend.alarms.calling import address_of, call
from backend.alarms.couriers import Couriers, NoticeLoss, SendingSettings
from backend.alarms.errors import AlarmError
from backend.alarms.grpc_hook import GrpcHook
from backend.alarms.records import Notice
from backend.alarms.sending import SendingError
from protos.alarms.hook_pb2 import AlarmMessage, AlarmRecoveryMessage, AlarmTags, KeyStringValuePair, Response
from protos.alarms.hook_pb2_grpc import AlarmServiceServicer, add_AlarmServiceServicer_to_server
from tests.backend.alarms.test_hooks import BEGUN, ENDED
from tests.waiting import eventually

Context = aio.ServicerContext[Any, Response]
LONG = 60.0
"""Seconds that no test waits for."""
TAGS = AlarmTags(data=[KeyStringValuePair(key="a", value="é"), KeyStringValuePair(key="level", value="CRITICAL")])
ALARM: dict[str, Any] = {
    "scopeId": 4,
    "scope": "SERVICE_RELATION",
    "name": "web to api",
    "id0": "a",
    "id1": "b",
    "ruleName": "slow_rule",
    "alarmMessage": '<web> to "api" %s is slow',
    "startTime": 1_800_000_000_000,
    "tags": TAGS,
    "uuid": "id-1",
}
TOLD = AlarmMessage(**ALARM)
OVER = AlarmRecoveryMessage(**ALARM, recoveryTime=1_800_000_060_000)


class Server(AlarmServiceServicer):
    """Keeps the messages of each call, and ends calls as it is told: each status once, then all well."""

    def __init__(self) -> None:
        self.port = 0
        self.calls: list[list[AlarmMessage | AlarmRecoveryMessage]] = []
        self.statuses: list[StatusCode] = []
        self.silent = False
        self.left = Event()
        """Set when a call ended that was not answered."""

    async def doAlarm(  # noqa: N802 - the name of the method on the wire
        self, request_iterator: AsyncIterator[AlarmMessage], context: Context
    ) -> Response:
        return await self._take(request_iterator, context)

    async def doAlarmRecovery(  # noqa: N802 - same
        self,
        request_iterator: AsyncIterator[AlarmRecoveryMessage],
        context: Context,
    ) -> Response:
        return await self._take(request_iterator, context)

    async def _take(
        self,
        messages: AsyncIterator[AlarmMessage] | AsyncIterator[AlarmRecoveryMessage],
        context: Context,
    ) -> Response:
        self.calls.append([message async for message in messages])
        if self.silent:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if self.statuses:
            await context.abort(self.statuses.pop(0), "t0ken")
        return Response()

    @property
    def address(self) -> str:
        return address_of("127.0.0.1", self.port)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    servicer, server = Server(), aio.server()
    add_AlarmServiceServicer_to_server(servicer, server)
    servicer.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer
    finally:
        await server.stop(None)


@contextmanager
def refused(reason: str, *, again: bool) -> Iterator[None]:
    with pytest.raises(SendingError) as raised:
        yield
    assert (str(raised.value), raised.value.again) == (reason, again)


async def test_alarms_and_ends_are_calls_of_their_own() -> None:
    async with serving() as server:
        couriers = Couriers({"gRPC.a": GrpcHook(server.address)})
        couriers.tell([replace(notice, hooks=("gRPC.a",)) for notice in (BEGUN, ENDED, BEGUN)])
        await eventually(lambda: couriers.delivered["gRPC.a"] == 3)
        await couriers.stop(LONG)
    assert server.calls == [[TOLD, TOLD], [OVER]]
    assert couriers.lost.total() == 0


async def test_what_did_not_fit_in_a_frame_comes_as_it_was() -> None:
    message = "é" * 4_096
    many = [Notice(f"id-{number}", replace(BEGUN.alarm, message=message)) for number in range(100)]
    async with serving() as server:
        for request in GrpcHook(server.address).requests(many):
            await request.send(LONG)
    (received,) = server.calls
    assert [told.uuid for told in received] == [f"id-{number}" for number in range(100)]
    assert {told.alarmMessage for told in received} == {message}


@pytest.mark.parametrize("status", [status for status in StatusCode if status is not StatusCode.OK])
async def test_an_answer_that_is_no_success_says_so(status: StatusCode) -> None:
    again = status.name in {
        "CANCELLED",
        "UNKNOWN",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "INTERNAL",
        "UNAVAILABLE",
    }
    async with serving() as server:
        server.statuses = [status]
        (request,) = GrpcHook(server.address).requests([BEGUN])
        with refused(f"the call ended with {status.name}", again=again):
            await request.send(LONG)
        await request.send(LONG)
    assert server.calls == [[TOLD], [TOLD]]


async def test_it_is_sent_again_where_that_helps_and_counted_where_it_does_not() -> None:
    async with serving() as server:
        server.statuses = [StatusCode.UNAVAILABLE, StatusCode.UNIMPLEMENTED]
        couriers = Couriers({"gRPC.a": GrpcHook(server.address)}, SendingSettings(retry_delay=0.001))
        couriers.tell([replace(BEGUN, hooks=("gRPC.a",))])
        await eventually(lambda: couriers.lost.total() == 1)
        couriers.tell([replace(ENDED, hooks=("gRPC.a",))])
        await eventually(lambda: couriers.delivered["gRPC.a"] == 1)
        await couriers.stop(LONG)
    assert couriers.lost == {("gRPC.a", NoticeLoss.REFUSED): 1}
    assert server.calls == [[TOLD], [TOLD], [OVER]]


async def test_silence_ends_in_time() -> None:
    async with serving() as server:
        server.silent = True
        with refused("the call ended with DEADLINE_EXCEEDED", again=True):
            await call(server.address, "/AlarmService/doAlarm", [TOLD.SerializeToString()], 0.2)


async def test_who_stops_does_not_wait_for_the_answer() -> None:
    async with serving() as server:
        server.silent = True
        couriers = Couriers({"gRPC.a": GrpcHook(server.address)}, SendingSettings(seconds=LONG))
        couriers.tell([replace(BEGUN, hooks=("gRPC.a",))])
        await eventually(lambda: len(server.calls) == 1)
        await couriers.stop(0)
        assert couriers.lost == {("gRPC.a", NoticeLoss.STOPPING): 1}
        assert await asyncio.to_thread(server.left.wait, 120), "the server was not told that nobody waits any more"


async def test_a_port_that_nobody_listens_on() -> None:
    async with serving() as server:
        address = server.address
    with refused("the call ended with UNAVAILABLE", again=True):
        await call(address, "/AlarmService/doAlarm", [], LONG)


@pytest.mark.parametrize("host", ["http://s3cret", "s3cret/x", "a b", "é", "s3cret:1"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(AlarmError, match="it is no host: write a name or an address, without scheme, port and path"):
        address_of(host, 1)


async def test_grpcio_agrees_about_the_method() -> None:
    """The service has no package, so its path has none."""
    async with serving() as server:
        async with aio.insecure_channel(server.address, [("grpc.enable_http_proxy", 0)]) as channel:
            method = channel.stream_unary("/AlarmService/doAlarm", AlarmMessage.SerializeToString, bytes)
            await method(iter([TOLD]))
        await call(server.address, "/AlarmService/doAlarm", [TOLD.SerializeToString()], LONG)
    assert server.calls == [[TOLD], [TOLD]]
