"""Targets: what is asked over the network, from bytes to answers: GraphQL, PromQL, remote reads, calls of gRPC."""

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import cramjam
import pytest
from starlette.datastructures import QueryParams
from starlette.types import Message, Receive

from backend.ingest.status import CallError
from backend.oal.loader import load
from backend.query.catalog import Catalog
from backend.query.errors import QueryError
from backend.query.graphql import context, execution
from backend.query.graphql.alarms import NoAlarms
from backend.query.graphql.endpoint import RefusedError, _decode
from backend.query.graphql.service_book import ServiceBook
from backend.query.graphql.templates import FileTemplates
from backend.query.parameters import Parameters
from backend.query.promql import questions as promql
from backend.query.promql import remote_read
from backend.query.promql.errors import PromqlError
from backend.query.promql.parameters import Parameters as PromqlParameters
from backend.query.promql.routes import _encoded
from backend.query.times import MAXIMUM_BUCKETS
from backend.server import companions, reflection
from backend.server.calls import Call, Handler, Streaming
from backend.server.presence import Presence
from backend.storage.interface import Retention
from backend.storage.memory import MemoryStorage
from protos.ebpf.process_pb2 import EBPFProcessPingPkgList, EBPFProcessReportList
from protos.prometheus.remote_pb2 import LabelMatcher, Query, ReadRequest, ReadResponse
from protos.reflection.reflection_pb2 import ServerReflectionRequest
from tests.backend.query import world
from tests.backend.query.graphql import documents
from tests.fuzz.registry import Target, text

_STORE = MemoryStorage()
world.fill(_STORE)
_CATALOG = Catalog(load().definitions)
_SERVICES = ServiceBook(_STORE)
_GRAPHQL = context.Sources(
    storage=_STORE,
    services=_SERVICES,
    catalog=_CATALOG,
    alarms=NoAlarms(),
    templates=FileTemplates(Path("/nonexistent/templates.json")),
    retention=Retention(),
    clock=lambda: world.NOW,
    offset=0,
)
_PROMQL = promql.Sources(_STORE, _CATALOG, _SERVICES, lambda: world.NOW)
_QUESTIONS = (promql.query, promql.query_range, promql.series, promql.format_query)
_HANDLERS = {**companions.handlers(Presence(_STORE)), **reflection.handlers()}
"""Of calls; nothing begins to write what they tell."""


def _graphql(body: bytes) -> None:
    """Whatever is asked, no answer is a defect of the program's."""
    asked = _decode(body)
    answered = execution.answer(asked, context.Context(_GRAPHQL))
    told = json.loads(answered.body)
    assert answered.error in {"", execution.BAD_REQUEST}, told
    assert bool(answered.error) == bool(told.get("errors"))


def _promql(parameters: str) -> None:
    """The parameters of an address, to each question that there is; refused when none can be answered."""
    refusals = []
    for answer in _QUESTIONS:
        try:
            json.loads(_encoded(answer, _PROMQL, PromqlParameters(parameters, "", world.NOW)))
        except PromqlError as error:
            refusals.append(error)
    if len(refusals) == len(_QUESTIONS):
        raise refusals[0]


def _remote_read(body: bytes) -> None:
    """A request as it is, and as it would be with another compression."""
    for compressed in (body, bytes(cramjam.snappy.compress_raw(body))):
        try:
            answer = remote_read.read(_PROMQL, compressed)
        except PromqlError:
            continue
        ReadResponse.FromString(bytes(cramjam.snappy.decompress_raw(answer)))


def _parameters(asked: str) -> None:
    parameters = Parameters({}, QueryParams(asked), world.NOW)
    window = parameters.window()
    assert 0 <= window.first <= window.last
    assert len(window.buckets(parameters.step(window))) <= MAXIMUM_BUCKETS + 1
    parameters.several("entity", 5)


def _calls(body: bytes) -> None:
    """The same body as one message of each call."""
    for path, handler in _HANDLERS.items():
        call = Call(path, {}, _sender(b"\0" + len(body).to_bytes(4, "big") + body))
        try:
            _finish(_taken(handler, call))
        except CallError:
            continue


async def _taken(handler: Handler, call: Call) -> None:
    if isinstance(handler, Streaming):
        async for answer in handler.answer(call):
            assert answer
    else:
        assert isinstance((await handler(call)).message, bytes)


def _sender(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    return receive


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what never waits, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    pytest.fail("it waits for something that never comes")


_NAMES = ("kubernetes_service_read_cpm", "kubernetes_service_write_cpm")
_DURATION = {"start": "2027-01-15 0750", "end": "2027-01-15 0800", "step": "MINUTE"}
_ENTITY = {"scope": "Service", "serviceName": "api", "normal": True}


def _body(query: str, **variables: object) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def _reading() -> bytes:
    matchers = [
        LabelMatcher(type=LabelMatcher.EQ, name="__name__", value=_NAMES[0]),
        LabelMatcher(type=LabelMatcher.RE, name="service", value="a.*"),
    ]
    span = {"start_timestamp_ms": int(world.NOW - 600) * 1_000, "end_timestamp_ms": int(world.NOW) * 1_000}
    return ReadRequest(queries=[Query(matchers=matchers, **span)]).SerializeToString()


def _processes() -> bytes:
    reported = EBPFProcessReportList(ebpfAgentID="a")
    process = reported.processes.add().hostProcess
    process.pid, process.entity.layer, process.entity.serviceName = 7, "OS_LINUX", "shop"
    process.entity.instanceName, process.entity.processName = "shop-1", "nginx"
    return reported.SerializeToString()


TARGETS = (
    Target(
        "graphql",
        _graphql,
        (RefusedError,),
        (
            _body(documents.SWCTL_VERSION),
            _body(documents.SWCTL_SERVICES, layer="K8S_SERVICE"),
            _body(documents.SWCTL_INSTANCES, serviceId=world.API, duration=_DURATION),
            _body(
                "query ($expression: String!, $entity: Entity!, $duration: Duration!) {"
                " result: execExpression(expression: $expression, entity: $entity, duration: $duration) "
                + documents.EXPRESSION_FIELDS
                + "}",
                expression=f"avg({_NAMES[0]}) * 2",
                entity=_ENTITY,
                duration=_DURATION,
            ),
        ),
        (
            b"{",
            b"{result: version " * 25,
            b"...",
            b"fragment a on Query {...a}",
            b"\\u0000",
            b"@skip(if: true)",
            b"[" * 3_000,
        ),
    ),
    Target(
        "promql-answers",
        text(_promql),
        (PromqlError,),
        (
            b"query=sum by (layer) (kubernetes_service_read_cpm)&start=1800000000&end=1800000060&step=60",
            b"query=topk(3, max_over_time(kubernetes_service_write_cpm[5m])) > 5&time=1800000000",
            b"match[]={service='api'}&start=1799990000&end=1800000060",
            b"query=kubernetes_service_read_cpm / on (service) kubernetes_service_write_cpm offset 1m",
        ),
        (
            b"(",
            b"[5m]",
            b"[1h:1m]",
            b"-",
            b"^",
            b" / 0",
            b"%25",
            b"1e308 * ",
            b"nan",
            b"topk(-1, ",
            b"quantile(2, ",
            b"rate(",
        ),
    ),
    Target(
        "remote-read",
        _remote_read,
        (),
        (_reading(), _reading() * 2),
        (b"\xff" * 4, b"[", b"(?=a)", b"\xff\xff\xff\xff\x0f"),
    ),
    Target(
        "query-parameters",
        text(_parameters),
        (QueryError,),
        (
            b"start=-15m&end=now&entity=a",
            b"start=2027-01-15T07:50:00Z&end=2027-01-15T08:00:00Z&step=minute&entity=a&entity=b",
        ),
        (b"&", b"=", b"-9999999999w", b"9999-12-31T23:59:59Z", b"0000-", b"%00", b"step=hour", b"+01:00"),
    ),
    Target(
        "grpc-calls",
        _calls,
        (),
        (
            _processes(),
            EBPFProcessPingPkgList(ebpfAgentID="a").SerializeToString(),
            ServerReflectionRequest(file_containing_symbol="skywalking.v3.EBPFProcessService").SerializeToString(),
        ),
        (b"\xff" * 4, b"\x0a\xff", b"\xed\xa0\x80"),
    ),
)
