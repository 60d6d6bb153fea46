import msgspec
import pytest

from agent.discovery.kubernetes.book import Found, PodBook
from agent.discovery.kubernetes.objects import NodePod, pods_of
from common.kubernetes.objects import Service
from tests.agent.discovery.kubernetes.pods import (
    FIRST,
    OTHER,
    SECOND_ID,
    UID,
    book,
    gone,
    manifest,
    pod,
    service,
    there,
    uid,
)


def name(found: Found | None) -> tuple[str, str, str] | None:
    if found is None:
        return None
    return found.pod.name, found.container.name if found.container else "", found.service


@pytest.mark.parametrize("runtime", ["containerd", "docker", "cri-o", "dockerd"])
def test_a_container_of_every_runtime_is_found_by_its_id(runtime: str) -> None:
    made = book([pod(containers={"main": f"{runtime}://{FIRST}"})])
    assert name(made.find([FIRST], "")) == ("cart-1", "main", "")


def test_init_and_sidecar_containers_are_found() -> None:
    made = book([pod(containers={"main": FIRST}, init={"setup": f"containerd://{SECOND_ID}"})])
    assert name(made.find([SECOND_ID], UID)) == ("cart-1", "setup", "")


def test_of_nested_containers_the_innermost_known_one_counts() -> None:
    made = book([pod("a", {"x": FIRST}, pod_uid=uid(1)), pod("b", {"y": SECOND_ID}, pod_uid=uid(2))])
    assert name(made.find([OTHER, SECOND_ID, FIRST], "")) == ("b", "y", "")


def test_before_a_container_is_told_its_pod_is_found_by_its_uid() -> None:
    assert name(book([pod(containers={"main": ""})]).find([FIRST], UID)) == ("cart-1", "main", "")
    several = book([pod(containers={"main": "", "istio-proxy": ""})])
    assert name(several.find([FIRST], UID)) == ("cart-1", "", "")
    with_init = book([pod(containers={"main": ""}, init={"setup": ""})])
    assert name(with_init.find([FIRST], UID)) == ("cart-1", "", "")


def test_a_static_pod_is_found_by_the_hash_of_its_configuration() -> None:
    made = manifest(containers={"main": ""})
    made["metadata"]["annotations"] = {"kubernetes.io/config.hash": "1" * 32}
    mirror = pods_of("node-1").read(msgspec.Raw(msgspec.json.encode(made)))
    assert name(book([mirror]).find([], "1" * 32)) == ("cart-1", "main", "")


def test_the_service_of_a_pod_is_the_one_with_the_shortest_name_that_selects_it() -> None:
    services = [
        service("cart-canary", {"app": "cart"}),
        service("shop", {"app": "cart"}),
        service("cart", {"app": "cart"}),
        service("all", {}),
        service("no", {"app": "other"}),
        service("car", {"app": "cart"}, namespace="elsewhere"),
    ]
    made = book([pod(labels={"app": "cart"})], services)
    assert name(made.find([FIRST], "")) == ("cart-1", "main", "cart")
    made.services.apply(gone(services[2]))
    assert name(made.find([FIRST], "")) == ("cart-1", "main", "shop")


def test_a_pod_that_changes_is_found_as_it_is_and_one_that_is_gone_not_at_all() -> None:
    made = book([pod()])
    version = made.version
    made.pods.apply(there(pod(containers={"main": SECOND_ID})))
    assert made.version != version
    assert name(made.find([SECOND_ID], "")) == ("cart-1", "main", "")
    assert made.find([FIRST], "") is None
    made.pods.apply(gone(pod(containers={"main": SECOND_ID})))
    assert made.find([SECOND_ID], UID) is None
    assert len(made) == 0


def test_a_pod_made_again_under_the_same_name_takes_the_place_of_the_first() -> None:
    made = book([pod()])
    made.pods.apply(there(pod(containers={"main": SECOND_ID}, pod_uid=uid(2))))
    assert made.find([], UID) is None
    assert name(made.find([], uid(2))) == ("cart-1", "main", "")


def test_a_new_list_forgets_what_is_not_in_it() -> None:
    made = book([pod(), pod("b", {"x": SECOND_ID}, pod_uid=uid(2))], [service("cart", {"app": "x"})])
    made.pods.replace([pod("b", {"x": SECOND_ID}, pod_uid=uid(2))])
    made.services.replace([])
    assert made.find([FIRST], UID) is None
    assert name(made.find([SECOND_ID], "")) == ("b", "x", "")


def test_pods_and_services_are_bounded_and_what_has_no_room_is_counted() -> None:
    made = PodBook(1, 2)
    made.pods.replace([pod("a", pod_uid=uid(1)), pod("b", pod_uid=uid(2))])
    made.services.replace([service(each, {"app": each}) for each in ("a", "b", "c")])
    assert (len(made), made.without_room) == (1, 2)
    made.pods.apply(there(pod("c", pod_uid=uid(3)), pod("a", {"x": SECOND_ID}, pod_uid=uid(1))))
    assert made.without_room == 3
    assert name(made.find([SECOND_ID], "")) == ("a", "x", "")


def test_it_is_complete_when_both_were_told_or_cannot_be() -> None:
    made = PodBook()
    made.pods.replace([])
    assert not made.is_complete
    made.services.unavailable()
    assert made.is_complete


@pytest.mark.parametrize("node", ["", "a,b", "a=b", "-a", "a b"])
def test_a_name_that_no_node_has(node: str) -> None:
    with pytest.raises(ValueError, match="set process_discovery"):
        pods_of(node)


def test_what_is_kept_of_a_pod() -> None:
    kept: NodePod = pod(environment={"TIER": "front"}, owners=[("Job", "backup-28000000")])
    assert (kept.address, kept.host_address, kept.node) == ("10.1.0.5", "10.0.0.7", "node-1")
    assert [(owner.kind, owner.name) for owner in kept.owners] == [("Job", "backup-28000000"), ("CronJob", "backup")]
    assert kept.containers[0].environment == {"TIER": "front"}
    assert isinstance(service("a", {"b": "c"}), Service)
