import re
from typing import Any

import pytest

from backend.ingest.batch import LogKind
from backend.metrics.devices import DEVICES
from backend.oal.attributes import EventAttribute
from backend.oal.definitions import Definition
from backend.oal.loader import load_texts
from backend.oal.sources import (
    HTTP_CALL,
    HTTP_LATENCY,
    HTTP_METHOD,
    HTTP_METHODS,
    HTTP_SUCCESS,
    HTTP_TIMED,
    HTTP_VERSIONS,
    READ_DEVICE,
    SOURCES,
    STAGE_COLUMNS,
    WRITE_DEVICE,
)
from backend.oal.syntax import OalError
from protos.ebpf import accesslog_pb2


def define(text: str) -> Definition:
    (definition,) = load_texts({"x": f"m = {text};"}).definitions
    return definition


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("from(K8SServce.*).cpm()", "there is no source 'K8SServce': did you mean 'K8SService'?"),
        ("from(Mesh.*).cpm()", "there is no source 'Mesh': known are K8SEndpoint, K8SEndpointRelation, "),
        ("from(Service.*).cpm()", "is of Apache SkyWalking's other receivers: no access log feeds it"),
        (
            "from(K8SService.write.l4.durations).sum()",
            "x:1:10: K8SService has no 'write.l4.durations': did you mean 'write.l4.duration'?",
        ),
        ('from(K8SService.*).filter(typ == "read").cpm()', "x:1:31: K8SService has no 'typ': did you mean 'type'?"),
        ("from(K8SServiceInstance.*).filter(name == null).cpm()", "K8SServiceInstance has no 'name'"),
        ("from(K8SService.*).sum()", "sum() needs a value: write from(K8SService.VALUE)"),
        ("from(K8SService.*).longAvg()", "longAvg() needs a value"),
        ("from(K8SService.name).sum()", "name is a string: it cannot be added up"),
        ("from(K8SService.type).longAvg()", "type is a string: it cannot be added up"),
        ("from(K8SService.connect.success).sum()", "connect.success is true or false: it cannot be added up"),
        ("from(K8SService.write.duration).sum(name)", "sum() takes no arguments"),
        ("from(K8SService.*).percent()", "percent() needs one comparison"),
        ("from(K8SService.*).percent(connect.success)", "percent() needs one comparison"),
        ("from(K8SService.*).rate(connect.success == true)", "rate() needs two comparisons: .rate("),
        ("from(K8SService.*).rate()", "rate() needs two comparisons"),
        ("from(K8SService.*).max()", "max() needs a value"),
        ("from(K8SService.write.duration).maxDouble(1)", "maxDouble() takes no arguments: write .maxDouble()"),
        (
            "from(K8SService.write.duration).histogram(10)",
            "histogram() needs the width of a step and how many, at most",
        ),
        ("from(K8SService.write.duration).histogram(0, 5)", "histogram() needs the width of a step"),
        ("from(K8SService.write.duration).histogram(10, 1_001)", "how many, at most 1000: .histogram(100, 20)"),
        ("from(K8SService.*).histogram(10, 20)", "histogram() needs a value"),
        ("from(K8SService.*).labelCount()", "labelCount() needs a label and may have how many at most, up to 10000"),
        ("from(K8SService.*).labelCount(name, 10_001)", "labelCount() needs a label"),
        ("from(K8SService.*).labelCount(name, 0)", "labelCount() needs a label"),
        ("from(K8SService.*).labelCount(name, 5, 5)", "labelCount() needs a label"),
        ("from(K8SService.*).labelCount(nme)", "x:1:35: K8SService has no 'nme': did you mean 'name'?"),
        ("from(K8SServiceRelation.*).labelCount(componentIds)", "a list of whole numbers: it cannot be a label"),
        ("from(K8SService.*).labelAvg(name)", "labelAvg() needs a label and a value and may have how many labels"),
        ("from(K8SService.*).labelAvg(name, name)", "x:1:39: name is a string: it cannot be added up"),
        ("from(K8SService.*).apdex(name, protocol.success)", "apdex() needs a value"),
        ("from(K8SService.name).apdex(name, protocol.success)", "name is a string: it cannot be added up"),
        ("from(K8SService.protocol.http.latency).apdex()", "apdex() needs the name of a service and what is success"),
        ("from(K8SService.protocol.http.latency).apdex(name)", "apdex() needs the name of a service"),
        ("from(K8SService.protocol.http.latency).apdex(protocol.success, name)", "apdex() needs the name of a service"),
        ("from(K8SService.protocol.http.latency).apdex(name, protocol.http.latency)", "apdex() needs the name"),
        ("from(K8SService.*).percentile2(10)", "percentile2() needs a value"),
        ("from(K8SService.protocol.http.latency).percentile2()", "percentile2() needs its precision"),
        ("from(K8SService.protocol.http.latency).percentile2(0)", "percentile2() needs its precision"),
        ("from(K8SService.protocol.http.url).percentile2(10)", "protocol.http.url is a string: it cannot be added up"),
        ("from(K8SService.protocol.http.latency).apdex(nme, protocol.success)", "K8SService has no 'nme'"),
        ("from(K8SService.*).filter(connect.success == 1).cpm()", "is true or false: it cannot be compared with 1"),
        ("from(K8SService.*).filter(connect.success > true).cpm()", "true or false: it cannot be compared by '>'"),
        ("from(K8SService.*).filter(write.duration == true).cpm()", "a whole number: it cannot be compared with true"),
        ('from(K8SService.*).filter(write.duration == "1").cpm()', 'a whole number: it cannot be compared with "1"'),
        ("from(K8SService.*).filter(name > 1).cpm()", "name is a string: it cannot be compared by '>'"),
        ("from(K8SService.*).filter(name in [1]).cpm()", "name is a string: it cannot be compared with 1"),
        ("from(K8SService.*).filter(name like null).cpm()", "name is a string: it cannot be compared with null"),
        ('from(K8SService.*).filter(name contain "x").cpm()', "name is a string: it cannot be compared by 'contain'"),
        ('from(K8SService.*).filter(detectPoint == "SERVER").cpm()', 'an enumeration: it cannot be compared with "'),
        (
            "from(K8SService.*).filter(detectPoint == DetectPoint.SERVR).cpm()",
            "DetectPoint has no 'SERVR': did you mean 'SERVER'?",
        ),
        (
            "from(K8SService.*).filter(detectPoint == DetectPont.SERVER).cpm()",
            "there is no enumeration 'DetectPont': did you mean 'DetectPoint'?",
        ),
        (
            'from(K8SServiceInstance.*).cpm().decorator("K8SServiceDecorator")',
            "K8SServiceInstance has no decorator 'K8SServiceDecorator': it has none",
        ),
        (
            'from(K8SService.*).cpm().decorator("ServiceDecorator")',
            "K8SService has no decorator 'ServiceDecorator': it has K8SServiceDecorator",
        ),
        ("from((str->long)K8SService.write.duration).sum()", "a whole number: leave (str->long) out, it reads strings"),
        ("from((long)K8SService.name).sum()", "a string, which (long) cannot read: write (str->long)"),
        ("from(K8SService.*).filter((int)name == 1).cpm()", "a string, which (int) cannot read: write (str->int)"),
        (
            "from(K8SService.*).filter((long)connect.success == 1).cpm()",
            "true or false, which (long) cannot read: leave",
        ),
        ("from(K8SService.name).sum()", "it cannot be added up; cast it: from((str->long)K8SService.name)"),
        ('from(K8SService.*).filter((str->long)name == "1").cpm()', 'it cannot be compared with "1"; write a number'),
        (
            "from(K8SService.*).filter(name == 1.5).cpm()",
            "cannot be compared with 1.5; write a string in double quotes",
        ),
        (
            'from(K8SService.*).filter(tag["a"] == "b").cpm()',
            "no attribute of it is a map, write one",
        ),
        (
            "from(K8SServiceRelation.*).filter(componentIds == 49).cpm()",
            "by '==', but by contain, not contain",
        ),
        ('from(K8SServiceRelation.*).filter(componentIds contain "49").cpm()', "write a whole number"),
    ],
)
def test_errors_say_what_is_wrong(text: str, error: str) -> None:
    with pytest.raises(OalError, match=re.escape(error)):
        define(text)


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("from(K8SService.*).cpm()", set(LogKind)),
        ('from(K8SService.*).filter(type == "read").cpm()', {LogKind.READ}),
        ('from(K8SService.*).filter(type != "read").cpm()', set(LogKind) - {LogKind.READ}),
        ('from(K8SService.*).filter(type in ["read", "write"]).cpm()', {LogKind.READ, LogKind.WRITE}),
        ('from(K8SService.*).filter(type like "%cept").cpm()', {LogKind.ACCEPT}),
        ('from(K8SService.*).filter(type == "protocol").cpm()', {LogKind.HTTP}),
        ('from(K8SService.*).filter(protocol.type == "http").cpm()', {LogKind.HTTP}),
        ('from(K8SService.*).filter(protocol.type != "dns").cpm()', {LogKind.HTTP}),
        ('from(K8SService.*).filter(protocol.type == "dns").cpm()', set()),
        ("from(K8SService.protocol.type).count()", {LogKind.HTTP}),
        ("from(K8SService.protocol.http.latency).apdex(name, protocol.success)", {LogKind.HTTP}),
        ("from(K8SService.write.duration).apdex(name, protocol.success)", set()),
        ('from(K8SService.*).filter(type == "unheard of").cpm()', set()),
        ("from(K8SService.write.duration).sum()", {LogKind.WRITE}),
        ("from(K8SService.*).filter(close.success == true).cpm()", {LogKind.CLOSE}),
        ("from(K8SService.*).percent(connect.success == true)", {LogKind.CONNECT}),
        ('from(K8SService.write.duration).filter(type == "read").sum()', set()),
        ("from(K8SService.protocol.http.latency).longAvg()", {LogKind.HTTP}),
        ('from(K8SService.*).filter(read.l2.netDeviceName == "eth0").cpm()', {LogKind.READ}),
        ("from(K8SService.*).filter(write.l2.networkDeviceName != null).cpm()", {LogKind.WRITE}),
        ("from(K8SService.*).rate(protocol.success == true, protocol.http.statusCode > 0)", {LogKind.HTTP}),
        ('from(K8SService.*).percent(type == "read")', set(LogKind)),
        ("from(K8SService.*).labelCount(type)", set(LogKind)),
        ("from(K8SService.*).labelAvg(name, write.duration)", {LogKind.WRITE}),
        ("from((str->long)K8SService.name).sum()", set(LogKind)),
        ("from(K8SEndpointRelation.duration).max()", {LogKind.HTTP}),
        ("from(K8SEndpoint.*).cpm()", {LogKind.HTTP}),
        ("from(K8SEndpoint.*).percent(success == true)", {LogKind.HTTP}),
        ('from(K8SEndpoint.http.latency).filter(type == "http").longAvg()', {LogKind.HTTP}),
        ('from(K8SEndpoint.*).filter(type == "protocol").cpm()', set()),
    ],
)
def test_a_metric_is_fed_by_the_events_that_its_parts_belong_to(text: str, events: set[LogKind]) -> None:
    assert define(text).events == events


def test_every_column_is_on_the_wire_or_made_of_it() -> None:
    assert {READ_DEVICE, WRITE_DEVICE} == {*DEVICES}
    made = {HTTP_CALL, HTTP_LATENCY, HTTP_TIMED, HTTP_SUCCESS, HTTP_METHOD, *DEVICES}
    columns = {column for stage in STAGE_COLUMNS.values() for column in stage} | {*DEVICES.values()}
    for source in SOURCES.values():
        for attribute in source.attributes.values():
            if isinstance(attribute, EventAttribute):
                columns |= {attribute.column, attribute.only_with, attribute.known}
                assert not attribute.stage or attribute.column in STAGE_COLUMNS[attribute.stage]
    for column in columns - {""} - made:
        *path, last = column.split(".")
        kind = accesslog_pb2.AccessLogProtocolLogs if path[0] == "http" else accesslog_pb2.AccessLogKernelLog
        at: Any = kind.DESCRIPTOR
        for name in path:
            at = at.fields_by_name[name].message_type
        field = at.fields_by_name[last]
        assert field.message_type is None
        assert not field.is_repeated


def test_methods_have_the_names_of_the_wire() -> None:
    assert tuple(accesslog_pb2.AccessLogHTTPProtocolRequestMethod.keys()) == HTTP_METHODS


def test_versions_have_the_names_of_the_wire() -> None:
    assert tuple(accesslog_pb2.AccessLogHTTPProtocolVersion.keys()) == HTTP_VERSIONS


def test_a_decorator_says_what_it_adds() -> None:
    decorated = define('from(K8SService.*).cpm().decorator("K8SServiceDecorator")')
    assert decorated.attributes == {"attr0": "K8S_SERVICE"}
    assert define("from(K8SService.*).cpm()").attributes == {}


def test_syscalls_have_the_names_of_the_wire() -> None:
    for event, enumeration in (
        ("read", accesslog_pb2.AccessLogKernelReadSyscall),
        ("write", accesslog_pb2.AccessLogKernelWriteSyscall),
    ):
        attribute = SOURCES["K8SService"].attributes[f"{event}.syscall"]
        assert isinstance(attribute, EventAttribute)
        assert attribute.labels == tuple(enumeration.keys())
