import re
from pathlib import Path

import pytest

from backend.cli import main
from backend.metrics import explaining
from backend.oal.functions import Function

BAD = """// a comment
a = from(K8SService.*).filter(typ == "read").cpm();
b = from(K8SService.*).cpm();
\tc = from(K8SService.*).cmp(;
d = from(Service.*).cpm(); disable(zzz);
e = from(K8SService.write.duration).filter(type == "read").sum();
b = from(K8SService.*).count();
f = from(K8SService.*)
"""

SEMICOLON = (
    "';' cannot stand here: expected ')' or 'false' or 'null' or 'true' or a cast or a name or a number or a string"
)


NOTHING_OFF = "warning: disable({}) switches nothing off: no metric has this name, nor a stream:"
ALL_STREAMS = (
    "known are endpoint_relation_server_side, endpoint_traffic, instance_traffic,"
    " service_instance_relation_client_side, service_instance_relation_server_side,"
    " service_relation_client_side, service_relation_server_side, service_traffic"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "own.oal"
    path.write_text(text)
    return path


def test_every_error_of_a_script_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, BAD)
    assert main(["oal", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"{path}:2:31: K8SService has no 'typ': did you mean 'type'?",
        '    2 | a = from(K8SService.*).filter(typ == "read").cpm();',
        "      |                               ^",
        f"{path}:4:29: {SEMICOLON}",
        "    4 | \tc = from(K8SService.*).cmp(;",
        "      | \t                           ^",
        f"{path}:7:1: b is defined already, at {path}:3:1: rename one",
        "    7 | b = from(K8SService.*).count();",
        "      | ^",
        f"{path}:8:23: the end cannot stand here: expected '.'",
        "    8 | f = from(K8SService.*)",
        "      |                       ^",
    ]
    assert out.splitlines() == [
        f"skipped: {path}:5:1: the source 'Service' is of Apache SkyWalking's other receivers: no access log feeds it",
        "    5 | d = from(Service.*).cpm(); disable(zzz);",
        "      | ^",
        f"warning: {path}:6:1: e is fed by nothing: no log has all that it reads",
        f"{NOTHING_OFF.format('zzz')} {ALL_STREAMS}",
        "scripts: 1, metrics: 2, skipped: 1, names disabled: 1, errors: 4",
    ]


def test_the_standard_scripts_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(explaining.__file__).parent.parent / "config" / "oal"
    assert main(["oal", "check", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(", skipped: 0, names disabled: 0, errors: 0\n")


def test_what_is_switched_off_is_known_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("own", "kubernetes_service_apdex", "endpoint_traffic", "service_trafic")
    path = written(tmp_path, "".join(f"disable({name});" for name in names) + "own = from(K8SService.*).cpm();")
    assert main(["oal", "check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{NOTHING_OFF.format('service_trafic')} did you mean 'service_traffic'?",
        "scripts: 1, metrics: 0, skipped: 0, names disabled: 4, errors: 0",
    ]


def test_a_script_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oal", "check", str(tmp_path / "gone.oal")]) == 1
    assert "gone.oal:1:1: the script cannot be read" in capsys.readouterr().err
    assert main(["oal", "explain", "m", "--file", str(tmp_path)]) == 1
    assert "there is no script (*.oal) in this folder" in capsys.readouterr().err


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    """Lines by heading."""
    assert main(["oal", "explain", *arguments]) == 0
    name, *lines = capsys.readouterr().out.splitlines()
    assert name == arguments[0]
    width = next(index for index in range(len("defined"), 99) if all(line[index] == " " for line in lines)) + 2
    found: dict[str, list[str]] = {}
    heading = ""
    for line in lines:
        heading = line[:width].strip() or heading
        found.setdefault(heading, []).append(line[width:].strip())
    return found


def test_a_metric_is_explained_from_its_logs_to_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "kubernetes_service_relation_client_write_netfilter_cpm")
    assert found["logs"] == ["write"]
    assert found["that meet"] == ["detectPoint == DetectPoint.CLIENT"]
    assert found["columns of write"][0] == "write.l3Metrics.totalNetFilterCount"
    assert found["stored"] == ["as a metric", "summation: the sum of write.l3.netFilterCount", "no label"]
    assert found["read by minute"] == ["summation"]
    assert found["read by hour"] == ["summation / 60"]
    assert found["read by day"] == ["summation / 1440"]
    assert found["source"] == [
        "K8SServiceRelation: a row for each minute and pair of services, of which one called the other"
    ]


def test_a_metric_of_an_own_script_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = """
        m = from(K8SService.*).filter(close.success == true).labelCount(name, 7);
        disable(n);
        n = from(K8SService.*).cpm();
    """
    path = str(written(tmp_path, script))
    found = explained(capsys, "m", "--file", path)
    assert found["stored"][-2:] == [
        "summation: logs with a name, with it as label",
        "at most 7 labels of an entity in a day",
    ]
    assert main(["oal", "explain", "n", "--file", path]) == 1
    assert "n is switched off by disable(n)" in capsys.readouterr().err
    assert main(["oal", "explain", "mm", "--file", path]) == 1
    assert "there is no metric 'mm': did you mean 'm'?" in capsys.readouterr().err


def test_zeros_are_explained_as_they_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    name = "kubernetes_service_write_l4_time"
    assert "0 was not measured" in explained(capsys, name)["value"][0]
    assert explained(capsys, name, "--zeros-are-values")["value"] == ["write.l4.duration"]


def test_every_function_can_be_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = """
        a = from(K8SService.protocol.http.latency).longAvg(); b = from(K8SService.protocol.http.latency).doubleAvg();
        c = from(K8SService.protocol.http.latency).sum(); d = from(K8SService.*).count(); e = from(K8SService.*).cpm();
        f = from(K8SService.*).percent(protocol.success == true);
        g = from(K8SService.*).rate(protocol.http.statusCode >= 500, protocol.http.statusCode >= 400);
        h = from(K8SService.protocol.http.latency).max(); i = from(K8SService.protocol.http.latency).min();
        j = from(K8SService.protocol.http.latency).maxDouble(); k = from(K8SService.protocol.http.latency).minDouble();
        l = from(K8SService.protocol.http.latency).apdex(name, protocol.success);
        m = from(K8SService.protocol.http.latency).percentile(10); n = from((str->long)K8SService.name).percentile2(10);
        o = from(K8SService.protocol.http.latency).histogram(100, 20);
        p = from(K8SService.*).labelCount(protocol.http.method);
        q = from(K8SService.*).labelAvg(protocol.http.method, protocol.http.latency);
    """
    path = str(written(tmp_path, script))
    stored = set()
    for name in "abcdefghijklmnopq":
        found = explained(capsys, name, "--file", path)
        assert found["read by day"][0]
        stored.add(found["stored"][1])
    assert len(Function) == 17
    assert (
        "summation: logs with protocol.http.statusCode >= 500; count: logs with protocol.http.statusCode >= 400"
        in stored
    )


def test_a_name_that_is_like_none_does_not_list_hundreds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oal", "explain", "nope"]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"pyrover-backend oal: there is no metric 'nope': none of the \d{3} known ones is like it\n", error
    )
