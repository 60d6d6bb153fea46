import re

import pytest

from backend.ingest.batch import LogKind
from backend.oal.definitions import Definition
from backend.oal.loader import load_texts
from backend.oal.sources import SOURCES, STAGE_COLUMNS, EventAttribute
from backend.oal.syntax import OalError
from protos.ebpf import accesslog_pb2


def define(text: str) -> Definition:
    (definition,) = load_texts({"x": f"m = {text};"}).definitions
    return definition


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("from(K8SServce.*).cpm()", "there is no source 'K8SServce': did you mean 'K8SService'?"),
        ("from(Mesh.*).cpm()", "there is no source 'Mesh': known are K8SEndpoint, K8SService, "),
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
        ('from(K8SService.*).percent(type == "read")', "percent() of a type is not possible"),
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
        (
            "from((str->long)K8SService.name).cpm()",
            "not supported yet: the cast (str->long) of name, which is a string",
        ),
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
        ('from(K8SService.*).filter(type == "protocol").cpm()', set()),
        ('from(K8SService.*).filter(type == "unheard of").cpm()', set()),
        ("from(K8SService.write.duration).sum()", {LogKind.WRITE}),
        ("from(K8SService.*).filter(close.success == true).cpm()", {LogKind.CLOSE}),
        ("from(K8SService.*).percent(connect.success == true)", {LogKind.CONNECT}),
        ('from(K8SService.write.duration).filter(type == "read").sum()', set()),
        ("from(K8SService.protocol.http.latency).longAvg()", set()),
        ('from(K8SService.*).filter(read.l2.netDeviceName == "eth0").cpm()', set()),
        ("from(K8SEndpoint.*).percent(success == true)", set()),
        ('from(K8SEndpoint.http.latency).filter(type == "http").longAvg()', set()),
    ],
)
def test_a_metric_is_fed_by_the_events_that_its_parts_belong_to(text: str, events: set[LogKind]) -> None:
    assert define(text).events == events


def test_every_column_is_on_the_wire() -> None:
    message = accesslog_pb2.AccessLogKernelLog.DESCRIPTOR
    columns = {column for stage in STAGE_COLUMNS.values() for column in stage}
    for source in SOURCES.values():
        for attribute in source.attributes.values():
            if isinstance(attribute, EventAttribute):
                columns |= {attribute.column, attribute.only_with}
                assert not attribute.stage or attribute.column in STAGE_COLUMNS[attribute.stage]
    for column in columns - {""}:
        *path, last = column.split(".")
        at = message
        for name in path:
            at = at.fields_by_name[name].message_type
        field = at.fields_by_name[last]
        assert field.message_type is None
        assert not field.is_repeated


def test_syscalls_have_the_names_of_the_wire() -> None:
    for event, enumeration in (
        ("read", accesslog_pb2.AccessLogKernelReadSyscall),
        ("write", accesslog_pb2.AccessLogKernelWriteSyscall),
    ):
        attribute = SOURCES["K8SService"].attributes[f"{event}.syscall"]
        assert isinstance(attribute, EventAttribute)
        assert attribute.labels == tuple(enumeration.keys())
