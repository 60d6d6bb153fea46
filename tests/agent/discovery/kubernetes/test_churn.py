"""A thousand pods and ten thousand processes that come and go: every name is right, and nothing of them is kept."""

import gc
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

import agent
import common
from agent.discovery.exclusion import Exclusion
from agent.discovery.host import ProcessFacts
from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.following import following
from agent.discovery.kubernetes.names import Wanted
from agent.discovery.naming import Naming
from agent.discovery.processes import ProcessTable
from agent.discovery.procfs import ProcHost
from agent.discovery.standing import Standing
from tests.agent.discovery.control_groups import control_group, enter
from tests.agent.discovery.kubernetes.pods import group, manifest, names, uid
from tests.agent.synthetic import SECOND, FakeHost, facts
from tests.common.kubernetes import manifests
from tests.common.kubernetes.api_server import ApiServer
from tests.common.kubernetes.following import HURRIED, access
from tests.waiting import PATIENCE, until

GENERATIONS, PODS, PROCESSES = 10, 100, 10
"""Pods of a generation, and processes of a pod."""
LEFT_OUT = 10
"""Every so many-th pod is in a namespace that is left out."""


class Pod:
    """One of a generation."""

    def __init__(self, generation: int, number: int) -> None:
        self.number = generation * PODS + number
        self.name, self.app = f"pod-{self.number}", f"app-{self.number}"
        self.container = f"{self.number:064x}"
        self.uid = uid(self.number)
        self.namespace = "hidden" if number % LEFT_OUT == 0 else "shop"

    @property
    def is_told(self) -> bool:
        return self.namespace == "shop"

    def put(self, server: ApiServer) -> None:
        server.put(
            "services", manifests.service(self.app, "10.96.0.9", namespace=self.namespace, selector={"app": self.app})
        )
        containers = {"main": f"containerd://{self.container}"}
        made = manifest(self.name, containers, namespace=self.namespace, labels={"app": self.app}, pod_uid=self.uid)
        server.put("pods", made)

    def delete(self, server: ApiServer) -> None:
        server.delete("pods", self.namespace, self.name)
        server.delete("services", self.namespace, self.app)


class Excluded:
    """The filter of the kernel side, as far as it has room."""

    def __init__(self) -> None:
        self.processes: set[int] = set()

    def exclude(self, process: int) -> None:
        self.processes.add(process)

    def include(self, process: int) -> None:
        self.processes.discard(process)


@contextmanager
def followed(server: ApiServer) -> Iterator[PodBook]:
    book = PodBook()
    with server.serving() as url, following(access(url), "node-1", book, HURRIED, seconds=PATIENCE):
        yield book


def is_known(book: PodBook, pod: Pod) -> bool:
    found = book.find([pod.container], pod.uid)
    return found is not None and found.service == pod.app


def kept() -> Counter[str]:
    """Objects of the agent's own types that are still there, by type."""
    gc.collect()
    modules = {agent.__name__, common.__name__}
    types = (type(each) for each in gc.get_objects())
    return Counter(each.__qualname__ for each in types if str(each.__module__).partition(".")[0] in modules)


def test_a_thousand_pods_and_ten_thousand_processes() -> None:
    server, host, kernel = ApiServer(), FakeHost(), Excluded()
    told, left_out, before = 0, 0, Counter[str]()
    with followed(server) as book:
        exclusion = Exclusion(kernel, host)
        wanted = Wanted(excluded_namespaces=frozenset(("hidden",)))
        table = ProcessTable(host, Naming("node-1"), 2 * PODS * PROCESSES, names(book, wanted), exclusion.exclude)
        for generation in range(GENERATIONS):
            pods = [Pod(generation, number) for number in range(PODS)]
            for pod in pods:
                pod.put(server)
            until(lambda pods=pods: all(is_known(book, pod) for pod in pods))  # type: ignore[misc] # bound now
            table.refresh((generation + 1) * SECOND)
            for at, pod in enumerate(pods):
                for each in range(PROCESSES):
                    pid = 1_000 + at * PROCESSES + each  # those of the generation before have ended
                    host.processes[pid] = facts(
                        pid, "/bin/server", start=generation, cgroups=[group(pod.container, pod.uid)]
                    )
                    process = table.seen(pid, b"server".ljust(16, b"\0"))
                    if pod.is_told:
                        assert process.standing is Standing.TOLD
                        assert (process.identity.service, process.identity.instance) == (f"{pod.app}.shop", pod.name)
                        told += 1
                    else:
                        assert process.standing is Standing.LEFT_OUT
                        left_out += 1
            assert len(table) == PODS * PROCESSES - len(kernel.processes)
            for pid in list(host.processes):
                host.processes.pop(pid)
                table.left(pid)
            kernel.processes.clear()  # the kernel forgets who ends
            for pod in pods:
                pod.delete(server)
            until(lambda: len(book) == 0)
            for last in (Pod(GENERATIONS, 1), Pod(GENERATIONS, 2)):  # of what a watch told last it keeps hold
                last.put(server)
                until(lambda last=last: is_known(book, last))  # type: ignore[misc] # bound now
                last.delete(server)
                until(lambda: not book._pods and not book._services)
            del process
            before = before if generation > 1 else kept()
        assert (told, left_out) == (9_000, 1_000)
        assert (len(table), table.awaited, table.evicted) == (0, 0, 0)
        assert (exclusion.losses(), book.without_room) == ({"excluded processes without room": 0}, 0)
        assert set(names(book).losses().values()) == {0}
        assert (book._pods, book._by_container, book._by_uid) == ({}, {}, {})
        until(lambda: kept() == before)


def cat() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("version", [1, 2])
def test_real_processes_that_come_and_go_in_the_groups_of_pods(version: int) -> None:
    generations, pods_of_one, processes_of_one = 2, 10, 10
    server = ApiServer()
    seen = list[ProcessFacts]()
    with followed(server) as book:
        table = ProcessTable(ProcHost(), Naming("node-1"), 1_000, names(book))
        for generation in range(generations):
            pods = [Pod(generation, number + 1) for number in range(pods_of_one)]
            for pod in pods:
                pod.namespace = "shop"
                pod.put(server)
            until(lambda pods=pods: all(is_known(book, pod) for pod in pods))  # type: ignore[misc] # bound now
            table.refresh((generation + 1) * SECOND)
            with ExitStack() as stack:
                for pod in pods:
                    into = stack.enter_context(control_group(version, f"/pyrover-churn{group(pod.container, pod.uid)}"))
                    running = [cat() for _ in range(processes_of_one)]
                    for each in running:
                        enter(into, each.pid)
                        process = table.seen(each.pid, b"cat".ljust(16, b"\0"))
                        told = (process.identity.service, process.identity.instance, process.identity.process)
                        assert told == (f"{pod.app}.shop", pod.name, "cat")
                        assert process.facts is not None
                        seen.append(process.facts)
                    for each in running:
                        each.communicate(timeout=PATIENCE)
                        table.left(each.pid)
            for pod in pods:
                pod.delete(server)
            # Services too: the next ones have the same names, and a late end of one before would be theirs.
            until(lambda: not book._pods and not book._services)
        assert len({(each.pid, each.start_ticks) for each in seen}) == generations * pods_of_one * processes_of_one
        assert (len(table), table.awaited, table.evicted) == (0, 0, 0)
        assert (book._by_container, book._by_uid) == ({}, {})
