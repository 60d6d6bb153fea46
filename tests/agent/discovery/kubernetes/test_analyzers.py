from collections import Counter

import pytest

from agent.config_discovery import AnalyzerSettings, Kubernetes, analyzers
from agent.discovery.kubernetes.analyzers import Analyzer, Analyzers, Entity
from tests.agent.discovery.kubernetes.pods import FIRST, SECOND_ID, pod, subject

MESH = pod(
    labels={"app": "cart", "app.kubernetes.io/name": "cart-name"},
    containers={"main": FIRST, "istio-proxy": SECOND_ID},
)


def entities(cluster: str = "", **keywords: object) -> list[tuple[str, ...]]:
    made = Analyzers(analyzers(Kubernetes()), cluster, Counter())
    found = made.entities(subject(**keywords))  # type: ignore[arg-type] # as there
    return [(each.layer, each.service, each.instance, each.process, *each.labels) for each in found]


def test_a_pod_of_a_service() -> None:
    assert entities() == [("K8S_SERVICE", "cart.shop", "cart-1", "java", "k8s-service")]
    assert entities(cluster="east") == [("K8S_SERVICE", "east::cart.shop", "cart-1", "java", "k8s-service")]


def test_a_pod_of_no_service_is_called_nothing() -> None:
    assert entities(service="") == []


def test_a_mesh_has_its_own_names_before_those_of_services() -> None:
    assert entities(of=MESH, container="istio-proxy") == [
        ("MESH_DP", "cart-name.shop", "cart-1", "java", "mesh-envoy"),
        ("K8S_SERVICE", "cart.shop", "cart-1", "java", "k8s-service"),
    ]
    assert entities(of=MESH, service="") == [("MESH", "cart-name.shop", "cart-1", "java", "mesh-application")]


def _analyzers(*templates: dict[str, object]) -> tuple[Analyzer, ...]:
    settings = tuple(AnalyzerSettings(**{"service_name": "s", **each}) for each in templates)  # type: ignore[arg-type] # by name
    return analyzers(Kubernetes(analyzers=settings))


def test_inactive_ones_count_for_nothing_and_equal_names_once() -> None:
    made = _analyzers({"active": False, "service_name": "no"}, {"labels": " b, a,,b"}, {"labels": "a,b"})
    assert Analyzers(made, "", Counter()).entities(subject()) == (
        Entity("K8S_SERVICE", "s", "cart-1", "java", ("a", "b")),
    )


def test_a_cluster_that_a_template_names_stays() -> None:
    made = _analyzers({"service_name": "{{.Pod.Namespace}}::x"})
    assert [each.service for each in Analyzers(made, "east", Counter()).entities(subject())] == ["shop::x"]


@pytest.mark.parametrize(
    "wrong", [{"service_name": '{{.Pod.LabelValue "none"}}'}, {"filters": ("or .Pod.Name 1",)}, {"layer": "{{``}}"}]
)
def test_without_a_value_there_are_no_names_at_all_and_it_is_counted(wrong: dict[str, object]) -> None:
    made = Analyzers(_analyzers({"service_name": "good"}, wrong), "", Counter())
    assert made.entities(subject()) == made.entities(subject()) == ()
    assert list(made.troubles.values()) == [2]


def test_different_troubles_are_bounded() -> None:
    made = Analyzers(_analyzers({"service_name": '{{(.Pod.FindContainer "x").Name}}'}), "", Counter())
    made.troubles.update({str(number): 1 for number in range(64)})
    made.entities(subject())
    assert made.troubles.total() == 64
