"""docs/metrics-reference.md: current, whole, and beside the two declarations that it is made from."""

import re

import pytest

from agent.kernel.hook import Stage
from agent.kernel.hooks import HOOKS
from agent.kernel.stage_fields import STAGE_FIELDS
from backend.ingest.batch import LogKind
from backend.oal.definitions import Definition
from backend.oal.loader import load, load_texts
from scripts.metric_words import VALUES, meaning
from scripts.metrics_reference import BROADER, PAGE, SCOPES, hooks_of, hooks_of_logs, page

DEFINITIONS = {definition.name: definition for definition in load().definitions}


def names(metric: str) -> list[str]:
    return [hook.name for hook in hooks_of(DEFINITIONS[metric])]


def only(script: str) -> Definition:
    (definition,) = load_texts({"test": script}).definitions
    return definition


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run make metrics-reference"


def test_every_metric_has_one_row() -> None:
    rows = re.findall(r"^\| `(kubernetes_\w+)` \|", page(), re.MULTILINE)
    assert sorted(rows) == sorted(DEFINITIONS)
    assert {definition.scope for definition in DEFINITIONS.values()} == set(SCOPES)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("kubernetes_service_connect_success_cpm", "Connects that succeeded."),
        ("kubernetes_service_write_l4_time", "Mean time of a write in L4 (TCP, UDP)."),
        ("kubernetes_service_write_package_cpm", "Packages sent, retransmissions included."),
        ("kubernetes_service_instance_http_status_4xx_cpm", "HTTP calls with a status from 400 to 499."),
        ("kubernetes_service_relation_close_cpm", "Closes, reported by both sides and added up."),
        ("kubernetes_service_relation_connect_cpm", "Connects, as the client's side reports."),
        ("kubernetes_service_instance_relation_accept_cpm", "Accepts, as the server's side reports."),
        (
            "kubernetes_service_relation_client_read_package_size",
            "Sum of the bytes of payload received, as the client's side reports.",
        ),
        (
            "kubernetes_service_endpoint_relation_http_success_cpm",
            "HTTP calls that the service did not fail, as the client's side reports.",
        ),
    ],
)
def test_a_sentence_says_value_function_and_side(metric: str, expected: str) -> None:
    assert meaning(DEFINITIONS[metric]) == expected


def test_two_metrics_of_one_scope_mean_the_same_only_where_they_are_computed_alike() -> None:
    alike: dict[tuple[str, str], list[Definition]] = {}
    for definition in DEFINITIONS.values():
        alike.setdefault((definition.scope, meaning(definition)), []).append(definition)
    for (_, sentence), found in alike.items():
        first, *others = found
        for other in others:
            same = (first.function, first.value and first.value.attribute, first.events, first.arguments.matches)
            assert same == (
                other.function,
                other.value and other.value.attribute,
                other.events,
                other.arguments.matches,
            ), sentence


def test_http_metrics_of_services_and_instances_are_about_what_they_answered() -> None:
    for definition in DEFINITIONS.values():
        if definition.scope in {"K8SService", "K8SServiceInstance"} and definition.events == {LogKind.HTTP}:
            sides = [str(of.literal) for of in definition.conditions if of.value.path == "detectPoint"]
            assert sides == ["DetectPoint.SERVER"], definition.name


def test_an_attribute_or_a_function_without_words_is_refused() -> None:
    with pytest.raises(KeyError, match=r"protocol\.http\.statusCode"):
        meaning(only('a = from(K8SService.protocol.http.statusCode).filter(type == "protocol").longAvg();'))
    with pytest.raises(KeyError, match="MAX"):
        meaning(only('a = from(K8SService.read.duration).filter(type == "read").max();'))


def test_no_words_are_left_over() -> None:
    assert {definition.value.path for definition in DEFINITIONS.values() if definition.value} == set(VALUES)


def test_the_hooks_of_a_field_include_those_between_which_it_is_measured() -> None:
    points = {field.path: {point.hook for point in (field.begin, field.end) if point} for field in STAGE_FIELDS}
    for definition in DEFINITIONS.values():
        attribute = definition.value.attribute if definition.value else None
        column = getattr(attribute, "column", "")
        if column in points:
            assert points[column] <= set(names(definition.name)), definition.name


def test_what_the_call_itself_says_needs_no_stage() -> None:
    assert names("kubernetes_service_read_time") == []
    assert names("kubernetes_service_http_call_time") == []
    assert names("kubernetes_service_write_l2_ready_avg_send_duration") == ["network_transmit", "device", "driver"]


def test_logs_name_the_hooks_at_their_calls() -> None:
    found = {kind: [hook.name for hook in hooks_of_logs(kind)] for kind in LogKind}
    assert found[LogKind.CONNECT] == ["connect", "connect_outcome"]
    assert found[LogKind.ACCEPT] == ["accept", "accept4"]
    assert found[LogKind.CLOSE] == ["close", "close_range", "dup2", "dup3", "process_exit"]
    assert found[LogKind.READ] == ["read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "splice"]
    assert {"write", "sendmmsg", "sendfile", "splice"} < set(found[LogKind.WRITE])
    assert {"tcp_destroy", "openssl_read", "gnutls_write", "go_read"} < set(found[LogKind.HTTP])


def test_every_loss_between_call_and_wire_is_understood() -> None:
    texts = {lost for hook in HOOKS if hook.stage in {Stage.TRANSMIT, Stage.RECEIVE} for lost in hook.lost}
    assert set(BROADER) <= texts
    unnamed = {lost for lost in texts - set(BROADER) if not re.search(r"\bkernelLogs\.\w+\.l\dMetrics\.\w+", lost)}
    # Told in extensions of the wire, of which no metric is made.
    assert unnamed == {"retransmits by cause", "zero windows sent", "zero windows received"}
