from collections import Counter
from pathlib import Path

import pytest

from backend.oal.functions import Function
from backend.oal.loader import STANDARD, check_texts, load, load_texts
from backend.oal.parser import parse
from backend.oal.sources import SOURCES
from backend.oal.syntax import Argument, Comparison, Enumeration, MetricStatement, OalError, Plain
from tests.backend.oal import reference


def shown(comparison: Comparison) -> str:
    literal = comparison.literal
    text = (
        str(literal).lower()
        if isinstance(literal, bool)
        else f'"{literal}"'
        if isinstance(literal, str)
        else str(literal)
    )
    return f"{comparison.operand} {comparison.operator.value} {text}"


def argument(given: Argument) -> str:
    match given:
        case Comparison():
            return shown(given)
        case Plain(value=value):
            return str(value)
    return str(given)


def test_the_standard_metrics_are_those_of_the_table() -> None:
    statements = parse((STANDARD / "ebpf.oal").read_text(), "ebpf.oal")
    written = {
        reference.Row(
            statement.name,
            statement.source,
            str(statement.value) if statement.value else "*",
            statement.function.name,
            ", ".join(argument(each) for each in statement.function.arguments),
            tuple(shown(comparison) for comparison in statement.filters),
        )
        for statement in statements
        if isinstance(statement, MetricStatement)
    }
    assert len(statements) == len(written) == 296
    assert written == set(reference.table())
    assert Counter(row.scope for row in written) == {
        "K8SService": 50,
        "K8SServiceInstance": 50,
        "K8SEndpoint": 15,
        "K8SServiceRelation": 92,
        "K8SServiceInstanceRelation": 89,
    }


def test_time_in_the_receive_queue_is_read_from_its_own_field() -> None:
    # Apache SkyWalking reads the time to the queue here, for services and instances.
    values = {row.metric: row.value for row in reference.table()}
    for scope in ("service", "service_instance"):
        name = f"kubernetes_{scope}_read_rcv_package_from_queue_time"
        assert values[name] == "read.l2.rcvPackageFromQueueDuration"
    assert {
        definition.name: str(definition.statement.value) for definition in load(STANDARD / "ebpf.oal").definitions
    }.items() >= {
        "kubernetes_service_read_rcv_package_from_queue_time": "read.l2.rcvPackageFromQueueDuration",
        "kubernetes_service_instance_read_rcv_package_from_queue_time": "read.l2.rcvPackageFromQueueDuration",
    }.items()


def test_all_standard_metrics_are_fed() -> None:
    metrics = load(STANDARD / "ebpf.oal")
    assert not metrics.skipped
    assert all(len(definition.events) == 1 for definition in metrics.definitions)
    assert metrics.functions["kubernetes_service_write_time"] is Function.LONG_AVG
    assert Counter(metrics.functions.values()) == {
        Function.LONG_AVG: 126,
        Function.SUM: 81,
        Function.CPM: 73,
        Function.PERCENT: 4,
        Function.APDEX: 6,
        Function.PERCENTILE: 6,
    }


def test_metrics_of_sources_that_nothing_feeds_are_refused_or_skipped_and_told() -> None:
    texts = {
        "one.oal": """
            good = from(K8SService.*).cpm();
            service_cpm = from(Service.*).cpm();
        """
    }
    with pytest.raises(OalError, match=r"one.oal:3:13: the source 'Service' is of Apache SkyWalking's other receivers"):
        load_texts(texts)
    metrics = load_texts(texts, skip_unsupported=True)
    assert [definition.name for definition in metrics.definitions] == ["good"]
    assert [error.position.line for error in metrics.skipped] == [3]


def test_mistakes_are_refused_even_when_unsupported_metrics_are_skipped() -> None:
    with pytest.raises(OalError, match="no function 'cmp'"):
        load_texts({"x": "m = from(K8SService.*).cmp();"}, skip_unsupported=True)


def test_disabled_metrics_are_left_out() -> None:
    metrics = load_texts(
        {
            "a": "disable(one); disable(service_relation_server_side);",
            "b": "one = from(K8SService.*).cpm(); two = from(K8SService.*).cpm()",
        }
    )
    assert [definition.name for definition in metrics.definitions] == ["two"]
    assert metrics.disabled == {"one", "service_relation_server_side"}


def test_standard_metrics_can_be_disabled_from_any_file(tmp_path: Path) -> None:
    (tmp_path / "own.oal").write_text("disable(kubernetes_service_apdex); own = from(K8SService.*).cpm();")
    names = [definition.name for definition in load([STANDARD, tmp_path]).definitions]
    assert "kubernetes_service_apdex" not in names
    assert names[-1] == "own"
    assert len(names) == len(load().definitions)


def test_all_errors_of_all_scripts_are_found_in_their_order() -> None:
    metrics, errors = check_texts(
        {
            "b": "x = from(K8SService.*).cpm(\n); y = from(K8SService.*).cpm(); z = from(K8SService.nme).cpm();",
            "a": "y = from(K8SService.*).cpm(); disable(; w = from(K8SService.*).count();",
        }
    )
    assert [definition.name for definition in metrics.definitions] == ["x", "y", "w"]
    assert [str(error).partition("\n")[0] for error in errors] == [
        "b:2:43: K8SService has no 'nme': did you mean 'name'?",
        "a:1:1: y is defined already, at b:2:4: rename one",
        "a:1:39: ';' cannot stand here: expected a name",
    ]
    assert [error.line for error in errors][1].startswith("y = from(")


def test_every_standard_metric_is_fed_and_every_total_has_a_comment() -> None:
    metrics = load()
    assert not metrics.skipped
    assert all(len(definition.events) == 1 for definition in metrics.definitions)
    totals = (STANDARD / "totals.oal").read_text().split("\n")
    starts = [number for number, line in enumerate(totals) if line.startswith("kubernetes_")]
    assert len(starts) == len(metrics.definitions) - 296
    assert all(totals[number - 1].startswith("// ") for number in starts)
    assert {definition.scope for definition in metrics.definitions} == {*SOURCES}


def test_a_name_can_be_used_once() -> None:
    with pytest.raises(OalError, match=r"b:2:1: m is defined already, at a:1:1: rename one"):
        load_texts({"a": "m = from(K8SService.*).cpm();", "b": "\nm = from(K8SService.*).cpm();"})


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.oal").write_text("second = from(K8SService.*).cpm();")
    (tmp_path / "a.oal").write_text("first = from(K8SService.*).cpm();")
    (tmp_path / "c.txt").write_text("not a script")
    assert [definition.name for definition in load(tmp_path).definitions] == ["first", "second"]
    assert [definition.name for definition in load(tmp_path / "b.oal").definitions] == ["second"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(OalError, match="there is no script"):
        load(tmp_path)
    with pytest.raises(OalError, match=r"gone.oal:1:1: the script cannot be read"):
        load(tmp_path / "gone.oal")
    (tmp_path / "bytes.oal").write_bytes(b"\xff\xfe")
    with pytest.raises(OalError, match=r"bytes.oal:1:1: the script cannot be read"):
        load(tmp_path)


def test_enumerations_show_as_they_are_written() -> None:
    assert str(Enumeration("DetectPoint", "SERVER")) == "DetectPoint.SERVER"
