"""What becomes of processes by their pods, and of those whose pods are not told."""

import pytest

from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.names import PodNames, Wanted
from agent.discovery.naming import Identity, Naming
from agent.discovery.processes import AWAIT_NS, REFRESH_NS, Process, ProcessTable
from agent.discovery.standing import Standing
from tests.agent.discovery.kubernetes.pods import (
    FIRST,
    OTHER,
    SECOND_ID,
    UID,
    book,
    gone,
    group,
    names,
    pod,
    service,
    there,
    uid,
)
from tests.agent.synthetic import FakeHost, facts

CART = service("cart", {"app": "cart"})
LABELS = {"app": "cart"}


class Node:
    """A table of processes on a node of a cluster; process 5 is in the container FIRST unless told otherwise."""

    def __init__(self, pods: PodNames, cgroup: str = group(FIRST), capacity: int = 10) -> None:
        self.host, self.excluded, self.now = FakeHost(), list[int](), 0
        self.host.processes[5] = facts(5, "/usr/bin/java", cgroups=[cgroup])
        self.excludes = True
        self.table = ProcessTable(self.host, Naming("node-1"), capacity, pods, lambda each: self._exclude(each.pid))
        self.pass_time(REFRESH_NS)

    def _exclude(self, pid: int) -> bool:
        self.excluded.append(pid)
        return self.excludes

    def pass_time(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self.table.refresh(self.now)

    def seen(self, pid: int = 5) -> Process:
        return self.table.seen(pid, b"java".ljust(16, b"\0"))


def standing(process: Process) -> Standing:
    """Where it stands now: type checkers take an attribute that was compared for what it was then."""
    return process.standing


def test_a_process_of_a_known_pod_is_named_at_once() -> None:
    process = Node(names(book([pod(labels=LABELS)], [CART]), cluster="east")).seen()
    assert standing(process) is Standing.TOLD
    assert process.identity == Identity("east::cart.shop", "cart-1", "main", "java")
    assert dict(process.named.properties) == {
        "host_ip": "10.0.0.7",
        "container_ip": "10.1.0.5",
        "container_name": "main",
        "pod_name": "cart-1",
        "pid": "5",
        "command_line": "/usr/bin/java",
        "support_ebpf_profiling": "false",
    }


def test_a_pod_that_is_told_a_little_later_is_waited_for() -> None:
    known = book()
    node = Node(names(known))
    process = node.seen()
    assert standing(process) is Standing.AWAITED
    known.services.apply(there(CART))
    known.pods.apply(there(pod(labels=LABELS)))
    node.pass_time(REFRESH_NS)
    assert standing(process) is Standing.TOLD
    assert process.identity.service == "cart.shop"


def test_what_is_not_told_in_time_is_unknown_until_it_is_told() -> None:
    known = book([], [CART])
    node = Node(names(known))
    process = node.seen()
    node.pass_time(AWAIT_NS - 1)
    assert standing(process) is Standing.AWAITED
    node.pass_time(REFRESH_NS)
    assert standing(process) is Standing.UNKNOWN
    known.pods.apply(there(pod(labels=LABELS)))
    node.pass_time(REFRESH_NS)
    assert standing(process) is Standing.TOLD


def test_before_all_services_were_told_no_pod_is_one_of_none() -> None:
    known = PodBook()
    known.pods.replace([pod(labels=LABELS)])
    node = Node(names(known))
    process = node.seen()
    assert standing(process) is Standing.AWAITED
    node.pass_time(AWAIT_NS)
    assert standing(process) is Standing.UNKNOWN
    known.services.replace([CART])
    node.pass_time(REFRESH_NS)
    assert process.identity.service == "cart.shop"


def test_a_container_that_is_not_told_in_time_has_no_name_but_its_pod_has() -> None:
    known = book([pod(containers={"main": "", "istio-proxy": ""}, labels=LABELS)], [CART])
    pods = names(known)
    node = Node(pods)
    process = node.seen()
    assert standing(process) is Standing.AWAITED
    node.pass_time(AWAIT_NS)
    assert [entity.layer for entity in process.named.entities] == ["MESH", "K8S_SERVICE"]
    assert process.identity.container == ""
    assert pods.losses()["containers not told in time"] == 1
    known.pods.apply(there(pod(containers={"main": "", "istio-proxy": FIRST}, labels=LABELS)))
    node.pass_time(REFRESH_NS)
    assert (process.named.entities[0].layer, process.identity.container) == ("MESH_DP", "istio-proxy")


def test_a_process_is_named_when_its_service_appears_and_no_more_when_it_goes() -> None:
    known = book([pod(labels=LABELS)])
    node = Node(names(known))
    process = node.seen()
    assert (process.standing, process.named.for_good, node.excluded) == (Standing.LEFT_OUT, False, [])
    known.services.apply(there(CART))
    node.pass_time(REFRESH_NS)
    assert (process.standing, process.identity.service) == (Standing.TOLD, "cart.shop")
    known.services.apply(gone(CART))
    node.pass_time(REFRESH_NS)
    assert standing(process) is Standing.LEFT_OUT


def test_the_names_outlive_the_pod_and_its_containers() -> None:
    known = book([pod(labels=LABELS, containers={"main": FIRST, "side": SECOND_ID})], [CART])
    node = Node(names(known))
    process = node.seen()
    known.pods.apply(there(pod(labels=LABELS, containers={"main": OTHER, "side": SECOND_ID})))
    node.pass_time(REFRESH_NS)
    assert process.identity.container == "main"
    known.pods.apply(gone(pod()))
    node.pass_time(REFRESH_NS)
    assert process.identity == Identity("cart.shop", "cart-1", "main", "java")


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(excluded_namespaces=frozenset(("shop", "x"))),
        Wanted(namespaces=frozenset(("other",))),
    ],
)
def test_processes_of_namespaces_that_nobody_wants_are_excluded_in_the_kernel(wanted: Wanted) -> None:
    node = Node(names(book([pod(labels=LABELS)], [CART]), wanted))
    assert node.seen().standing is Standing.LEFT_OUT
    assert node.excluded == [5]
    assert node.table.known(5) is None  # there will be no event of its end


def test_without_room_in_the_kernel_an_excluded_process_is_read_once() -> None:
    node = Node(names(book([pod()]), Wanted(namespaces=frozenset(("other",)))))
    node.excludes = False
    node.seen()
    node.seen()
    assert (node.host.asked, node.excluded) == (["process 5"], [5])


def test_a_process_that_turns_out_to_be_of_such_a_namespace_is_excluded_then() -> None:
    known = book()
    node = Node(names(known, Wanted(excluded_namespaces=frozenset(("shop",)))))
    process = node.seen()
    known.pods.apply(there(pod()))
    node.pass_time(REFRESH_NS)
    assert (process.standing, node.excluded, node.table.known(5)) == (Standing.LEFT_OUT, [5], None)


@pytest.mark.parametrize(("cluster", "standing"), [("east", Standing.LEFT_OUT), ("west", Standing.TOLD)])
def test_clusters_that_nobody_wants(cluster: str, standing: Standing) -> None:
    wanted = Wanted(excluded_clusters=frozenset(("east",)))
    assert Node(names(book([pod(labels=LABELS)], [CART]), wanted, cluster)).seen().standing is standing


def test_processes_outside_of_pods_are_told_of_only_where_that_is_wanted() -> None:
    for host_processes, standing in ((False, Standing.LEFT_OUT), (True, Standing.TOLD)):
        node = Node(names(book(), Wanted(host_processes=host_processes)), "/system.slice/sshd.service")
        process = node.seen()
        assert (process.standing, process.named.for_good) == (standing, not host_processes)
    assert process.identity.service == "sshd"


def test_nothing_is_told_of_the_agent_itself() -> None:
    node = Node(names(book([pod(labels=LABELS)], [CART])))
    node.host.processes[999] = facts(999, "/usr/bin/python3", cgroups=[group(FIRST)])
    assert node.seen(999).standing is Standing.LEFT_OUT


def test_of_a_process_that_was_gone_before_it_could_be_read_the_pod_is_unknown() -> None:
    node = Node(names(book()))
    assert node.seen(6).standing is Standing.UNKNOWN


def test_who_waits_is_bounded() -> None:
    node = Node(names(book()), capacity=2)
    for pid in range(10, 14):
        node.host.processes[pid] = facts(pid, cgroups=[group(OTHER, uid(pid))])
    standings = [node.seen(pid).standing for pid in range(10, 14)]
    assert standings == [Standing.AWAITED] * 2 + [Standing.UNKNOWN] * 2


def test_changes_are_looked_at_no_more_often_than_that() -> None:
    known = book([], [CART])
    node = Node(names(known))
    process = node.seen()
    known.pods.apply(there(pod(labels=LABELS)))
    node.pass_time(REFRESH_NS - 1)
    assert standing(process) is Standing.AWAITED
    node.pass_time(1)
    assert standing(process) is Standing.TOLD


def test_another_program_in_the_same_process_is_called_by_its_own_name() -> None:
    node = Node(names(book([pod(labels=LABELS)], [CART])))
    process = node.seen()
    node.host.processes[5] = facts(5, "/usr/bin/nginx", cgroups=[group(FIRST)])
    assert node.table.seen(5, b"nginx".ljust(16, b"\0")) is process
    assert process.identity == Identity("cart.shop", "cart-1", "main", "nginx")
    assert UID in process.found.pod.uids if process.found else False
