import asyncio
import gzip
from datetime import timedelta

import grpc
import pytest

from backend.ingest.batch import LogBatch
from backend.ingest.budget import Budget
from backend.ingest.stream import Period
from backend.server import access_logs
from backend.server.access_logs import BATCH_ID, PATH, AccessLogService
from backend.storage.interface import StorageError
from bench.http2 import Connection, coalesced, framed
from protos.ebpf.accesslog_pb2 import EBPFAccessLogDownstream
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.log_streams import serialised, stream
from tests.backend.server.support import Collecting, Full, body_of, receiving
from tests.waiting import eventually


async def test_a_grpcio_client_and_a_raw_client_give_the_same_logs() -> None:
    sink = Collecting()
    messages, sizes = stream(2_000)
    async with receiving(sink) as receiver:
        async with grpc.aio.insecure_channel(receiver.address) as channel:
            answer = await EBPFAccessLogServiceStub(channel).collect(iter(messages), timeout=120)
        assert answer == EBPFAccessLogDownstream()
        by_grpcio, sink.batches = sink.sizes(), []
        body = body_of(*serialised(messages))
        answers = [await receiver.raw([framed(item) for item in serialised(messages)])]
        by_frames, sink.batches = sink.sizes(), []
        answers.append(await receiver.raw(list(coalesced(body))))
        by_blocks = sink.sizes()
    assert by_grpcio == by_frames == by_blocks == sizes
    for stream_answer in answers:
        assert stream_answer.headers["grpc-status"] == "0"
        assert stream_answer.headers["content-type"] == "application/grpc"
        assert stream_answer.body == bytes(5)
    counts = receiver.service.counts
    assert (counts.messages, counts.logs, counts.accepted) == (6_000, 18_000, 18_000)
    assert receiver.service.delivery.stored == 18_000
    assert receiver.service.budget.held == 0


async def test_a_grpcio_client_that_compresses() -> None:
    sink = Collecting()
    messages, sizes = stream(500)
    async with receiving(sink) as receiver:
        channel = grpc.aio.insecure_channel(receiver.address, compression=grpc.Compression.Gzip)
        async with channel:
            await EBPFAccessLogServiceStub(channel).collect(iter(messages), timeout=120)
    assert sink.sizes() == sizes


async def test_the_answer_comes_when_the_logs_are_durable_and_not_before() -> None:
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sink = Collecting(lambda _: asyncio.shield(durable))
    messages, _ = stream(1)
    async with receiving(sink) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        call = EBPFAccessLogServiceStub(channel).collect(iter(messages), timeout=120)
        waiting = asyncio.ensure_future(call)
        await eventually(lambda: bool(sink.batches))
        assert receiver.service.delivery.stored == 0
        assert not waiting.done()
        durable.set_result(None)
        await waiting
        assert receiver.service.delivery.stored == 3


async def test_logs_that_cannot_be_stored_make_the_call_unavailable() -> None:
    async def fail(_batch: LogBatch) -> None:
        raise StorageError("the disk is full: free some space")

    async with receiving(Collecting(fail)) as receiver:
        answer = await receiver.raw(body_of(*serialised(stream(2)[0])))
        assert answer.headers["grpc-status"] == "14"
        assert "the disk is full" in answer.headers["grpc-message"]
        assert receiver.service.delivery.refused == {"storage": 6}
        assert receiver.service.budget.held == 0


async def test_a_full_sink_makes_the_call_resource_exhausted() -> None:
    async with receiving(Full()) as receiver:
        answer = await receiver.raw(body_of(*serialised(stream(2)[0])))
        assert answer.headers["grpc-status"] == "8"
        assert "wait and send again" in answer.headers["grpc-message"]
        assert receiver.service.delivery.refused == {"overloaded": 6}


async def test_a_sink_that_breaks_is_internal_and_others_go_on() -> None:
    async def fail(batch: LogBatch) -> None:
        if len(batch) == 1:
            raise ZeroDivisionError

    async with receiving(Collecting(fail)) as receiver:
        broken = await receiver.raw(body_of(*serialised(stream(1, logs=1)[0])))
        whole = await receiver.raw(body_of(*serialised(stream(1, logs=2)[0])))
    assert (broken.headers["grpc-status"], whole.headers["grpc-status"]) == ("13", "0")


async def test_what_is_dropped_is_said_in_the_answer() -> None:
    messages = serialised(stream(1)[0])
    late = message(read_log(5, 4), read_log(), remote="b").SerializeToString()
    async with receiving(Collecting()) as receiver:
        answer = await receiver.raw(body_of(*messages, b"\x1a\xff", late))
        assert answer.headers["grpc-status"] == "0"
        assert answer.headers["pyrover-dropped"] == "time_inverted=1,undecodable=1"
        clean = await receiver.raw(body_of(*messages))
        assert "pyrover-dropped" not in clean.headers


GOOD = serialised(stream(1, logs=1)[0])[0]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(framed(GOOD) + framed(GOOD)[:-1], {}, 13, id="cut within a message"),
        pytest.param(framed(GOOD) + b"\0\0", {}, 13, id="cut within a prefix"),
        pytest.param(b"\1" + framed(GOOD)[1:], {}, 13, id="compressed without an encoding"),
        pytest.param(b"\2" + framed(GOOD)[1:], {}, 13, id="a flag that does not exist"),
        pytest.param(b"\0\xff\xff\xff\xff", {}, 8, id="four gigabytes announced"),
        pytest.param(framed(GOOD), {"grpc-encoding": "snappy"}, 12, id="an unknown encoding"),
        pytest.param(b"\1\0\0\0\1x", {"grpc-encoding": "gzip"}, 13, id="not gzip"),
        pytest.param(framed(GOOD), {"grpc-timeout": "soon"}, 13, id="a timeout that is no time"),
        pytest.param(framed(GOOD), {BATCH_ID: "x" * 129}, 3, id="a batch id too long"),
        pytest.param(framed(b"\xff" * 40), {}, 0, id="rubbish in a whole message"),
        pytest.param(b"", {}, 0, id="nothing"),
        pytest.param(framed(b""), {}, 0, id="an empty message"),
    ],
)
async def test_a_broken_call_is_answered_and_an_open_one_beside_it_goes_on(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    sink = Collecting()
    messages, sizes = stream(40)
    first, *others = [framed(item) for item in serialised(messages)]
    async with receiving(sink) as receiver:

        def both() -> tuple[str, str]:
            with Connection(receiver.listener.port) as connection:
                whole = connection.open(PATH)
                connection.send(whole, [first])
                broken = connection.open(PATH, *headers.items())
                connection.send(broken, [body] if body else [])
                connection.end(broken)
                connection.answer(broken)
                connection.send(whole, others)
                connection.end(whole)
                connection.answer(whole)
                return broken.headers["grpc-status"], whole.headers["grpc-status"]

        assert await asyncio.to_thread(both) == (str(status), "0")
        assert set(sizes) <= set(sink.sizes())
        assert receiver.service.budget.held == 0
        # A call is over a moment after its answer has gone.
        await eventually(lambda: receiver.application.grpc.handling == 0)


async def test_an_unknown_encoding_is_answered_with_those_that_are_known() -> None:
    async with receiving(Collecting()) as receiver:
        answer = await receiver.raw(framed(GOOD), ("grpc-encoding", "snappy"))
    assert answer.headers["grpc-accept-encoding"] == "identity,gzip"


async def test_a_bomb_is_refused() -> None:
    bomb = gzip.compress(bytes(60 * 1024 * 1024))
    async with receiving(Collecting()) as receiver:
        answer = await receiver.raw(b"\1" + len(bomb).to_bytes(4, "big") + bomb, ("grpc-encoding", "gzip"))
    assert answer.headers["grpc-status"] == "8"


async def test_messages_before_an_error_are_kept() -> None:
    sink = Collecting()
    messages, sizes = stream(30)
    async with receiving(sink) as receiver:
        answer = await receiver.raw(body_of(*serialised(messages)) + b"\2\0\0\0\0")
        assert answer.headers["grpc-status"] == "13"
        assert receiver.service.broken_streams == 1
    assert sink.sizes() == sizes


async def test_logs_of_a_stream_that_stays_open_do_not_wait_for_its_end() -> None:
    sink = Collecting()
    messages, sizes = stream(3)
    wanted = [0]
    async with receiving(sink) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        call = EBPFAccessLogServiceStub(channel).collect(timeout=120)
        for item in messages:
            await call.write(item)
            wanted[0] += 3
            await eventually(lambda: sink.logs == wanted[0])
        await call.done_writing()
        await call
    assert sink.sizes() == sizes


async def test_an_error_in_a_stream_that_stays_open_is_answered_at_once() -> None:
    async with receiving(Full()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        call = EBPFAccessLogServiceStub(channel).collect(timeout=120)
        await call.write(stream(1)[0][0])
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    sink = Collecting()
    messages, _ = stream(100)
    async with receiving(sink) as receiver:
        connection = await asyncio.to_thread(Connection, receiver.listener.port)
        stream_open = connection.open(PATH)
        payloads = [framed(item) for item in serialised(messages)] + [b"\0\0"]
        await asyncio.to_thread(connection.send, stream_open, payloads)
        await eventually(lambda: receiver.application.grpc.handling == 1)
        connection.close()
        await eventually(lambda: receiver.application.grpc.calls[PATH, "CANCELLED"] == 1)
        assert receiver.service.budget.held == 0
        assert receiver.application.grpc.handling == 0


async def test_a_stream_that_says_nothing_for_long_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_logs, "IDLE", 0.001)
    sink = Collecting()
    messages, sizes = stream(2)
    async with receiving(sink) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        call = EBPFAccessLogServiceStub(channel).collect(timeout=120)
        await call.write(messages[0])
        await eventually(lambda: sink.logs == 3)
        await asyncio.sleep(0.05)  # dozens of turns of the timer, none of which may end the stream
        await call.write(messages[1])
        await call.done_writing()
        await call
    assert sink.sizes() == sizes


async def test_a_deadline_ends_a_call() -> None:
    async with receiving(Collecting()) as receiver:

        def wait() -> str:
            with Connection(receiver.listener.port) as connection:
                stream = connection.open(PATH, ("grpc-timeout", "50m"))
                return connection.answer(stream).headers["grpc-status"]

        assert await asyncio.to_thread(wait) == "4"
        assert receiver.service.budget.held == 0


async def test_the_period_that_is_believed_can_be_set() -> None:
    service = AccessLogService(Collecting(), period=Period(retention=timedelta(seconds=10)))
    async with receiving(service) as receiver:
        answer = await receiver.raw(body_of(*serialised(stream(1)[0])))
        assert answer.headers["pyrover-dropped"] == "time_expired=3"


async def test_who_finds_no_room_is_told_to_wait_and_others_are_served_again() -> None:
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sink = Collecting(lambda _: asyncio.shield(durable))
    service = AccessLogService(sink, Budget(175_000, patience=0.05))
    body = body_of(*serialised(stream(300)[0]))
    async with receiving(service) as receiver:
        first = asyncio.ensure_future(receiver.raw(body))
        await eventually(lambda: bool(sink.batches))
        second = await receiver.raw(body)
        assert second.headers["grpc-status"] == "8"
        durable.set_result(None)
        assert (await first).headers["grpc-status"] == "0"
        third = await receiver.raw(body)
        assert third.headers["grpc-status"] == "0"
        assert service.budget.held == 0
        assert service.budget.refused == 1
