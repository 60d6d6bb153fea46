"""The real agent on a node of a cluster.

Real processes are in control groups and a network of their own, beside a double of the API server and a receiver that
holds every stream to the rules of SkyWalking's.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from protos.ebpf import accesslog_pb2 as wire
from tests.agent.discovery.control_groups import control_group, enter
from tests.agent.discovery.kubernetes.pods import manifest, uid
from tests.common.kubernetes import manifests
from tests.common.kubernetes.api_server import TOKEN, ApiServer
from tests.e2e.cluster_receiver import Receiver
from tests.e2e.programs import agent, finish, network_namespace, program, read_line

pytestmark = pytest.mark.kernel

CALLER = """
import socket, sys
print(flush=True)
sys.stdin.readline()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connected:
    connected.sendall(b"hello")
    connected.shutdown(socket.SHUT_WR)
    assert connected.recv(9) == b""
print("done", flush=True)
sys.stdin.readline()
"""
ANSWERED = 'assert connected.recv(9) == b""'
LINGERING_CALLER = CALLER.replace(ANSWERED, f"{ANSWERED}; print('answered', flush=True); sys.stdin.readline()")
"""Closes its end when it is let go."""
SERVER = """
import socket, sys
sys.stdin.readline()
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    with listening.accept()[0] as connected:
        while connected.recv(9):
            pass
    print("closed", flush=True)
    sys.stdin.readline()
"""


@dataclass
class Process:
    """A process in a container."""

    process: "subprocess.Popen[bytes]"
    container: str

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return read_line(self.process.stdout.fileno(), "a process of the test").strip()


class Node:
    """A node with an agent on it, whose pods begin as a test says."""

    def __init__(self, version: int, stack: ExitStack, prefix: list[str]) -> None:
        self.server, self.receiver = ApiServer(), Receiver()
        self._version, self._stack, self._prefix = version, stack, prefix

    def start(self, number: int, text: str, *arguments: str) -> Process:
        """A process in the control group of the only container of pod `number`, which waits to be let go."""
        container = f"{os.getpid():08x}{number:056x}"
        path = f"/kubepods/burstable/pod{uid(number)}/{container}"
        group = self._stack.enter_context(control_group(self._version, f"/pyrover-e2e-{os.getpid()}{path}"))
        command = [*self._prefix, sys.executable, "-c", text, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self._stack.enter_context(program(command, **pipes))
        enter(group, process.pid)
        return Process(process, container)

    def put_pod(self, number: int, name: str, container: str, namespace: str = "shop") -> None:
        made = manifest(
            f"{name}-1",
            {"main": f"containerd://{container}"},
            namespace=namespace,
            labels={"app": name},
            pod_uid=uid(number),
        )
        self.server.put("pods", made)

    def put_service(self, name: str, namespace: str = "shop") -> None:
        self.server.put("services", manifests.service(name, "10.96.0.1", namespace=namespace, selector={"app": name}))

    def told(self) -> list[tuple[str, str, str]]:
        """Local end, remote end and operation of every log so far."""
        found = []
        for messages in self.receiver.streams():
            local = remote = ""
            for message in messages[1:]:
                if message.HasField("connection"):
                    local, remote = _end(message.connection.local), _end(message.connection.remote)
                found += [(local, remote, log.WhichOneof("operation") or "") for log in message.kernelLogs]
        return found


def _end(of: wire.ConnectionAddress) -> str:
    named = of.kubernetes
    if of.WhichOneof("address") == "ip":
        return f"{of.ip.host}"
    return f"{named.serviceName} {named.podName} {named.containerName}"


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with ExitStack() as stack:
        prefix = stack.enter_context(network_namespace(f"pyrover-cluster-{os.getpid()}"))
        yield Node(request.param, stack, prefix)


@contextmanager
def running(node: Node, folder: Path, **access_log: object) -> Iterator[None]:
    """The agent meanwhile; it must end well."""
    with node.server.serving() as url, node.receiver.serving() as backend:
        kubeconfig, configuration = folder / "kubeconfig", folder / "agent.yaml"
        content = {
            "current-context": "main",
            "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        }
        kubeconfig.write_text(yaml.safe_dump(content))
        discovery = {"active": True, "node_name": "node-1", "kubeconfig": str(kubeconfig)}
        settings = {
            "core": {"cluster_name": "east", "backend": {"addr": backend}},
            "access_log": {"flush": {"period": "200ms"}, **access_log},
            "process_discovery": {"heartbeat_period": "200ms", "kubernetes": discovery},
            "tls": {"enabled": False},
        }
        configuration.write_text(yaml.safe_dump(settings))
        with agent("--config", configuration) as process:
            yield
            finish(process)
    assert node.receiver.violations == []


CART, SHOP = "east::cart.shop cart-1 main", "east::shop.shop shop-1 main"
OF_CALLER = {(CART, SHOP, "connect"), (CART, SHOP, "write"), (CART, SHOP, "close")}
OF_SERVER = {(SHOP, CART, "accept"), (SHOP, CART, "read"), (SHOP, CART, "close")}


def test_the_first_connection_of_processes_has_their_names_and_they_are_reported(node: Node, tmp_path: Path) -> None:
    for name in ("cart", "shop"):
        node.put_service(name)
    with running(node, tmp_path):
        server = node.start(1, SERVER)
        node.put_pod(1, "shop", server.container)
        server.go()
        caller = node.start(2, CALLER, server.line())
        caller.line()
        caller.go()
        assert caller.line() == "done"
        node.put_pod(2, "cart", caller.container)  # a little late: its only connection has passed
        node.receiver.until(lambda: set(node.told()) >= OF_CALLER | OF_SERVER)
        node.receiver.until(lambda: {"east::cart.shop", "east::shop.shop"} <= node.receiver.kept_alive())
        for each in (caller, server):
            each.go()
    assert set(node.told()) == OF_CALLER | OF_SERVER
    assert node.receiver.reported() == {
        ("K8S_SERVICE", "east::cart.shop", "cart-1", "k8s-service"),
        ("K8S_SERVICE", "east::shop.shop", "shop-1", "k8s-service"),
    }


def test_a_service_that_appears_later_names_the_processes_that_run(node: Node, tmp_path: Path) -> None:
    node.put_service("cart")
    with running(node, tmp_path):
        server = node.start(1, SERVER)
        node.put_pod(1, "shop", server.container)
        server.go()
        caller = node.start(2, LINGERING_CALLER, server.line())
        node.put_pod(2, "cart", caller.container)
        caller.line()
        caller.go()
        # The server is first, so that all of it has been passed over when the last of the caller is told.
        assert (caller.line(), server.line()) == ("answered", "closed")
        caller.go()
        assert caller.line() == "done"
        node.receiver.until(lambda: (CART, "127.0.0.1", "close") in node.told())
        assert not [told for told in node.told() if told[0] == SHOP]
        node.put_service("shop")
        node.receiver.until(lambda: "east::shop.shop" in node.receiver.kept_alive())
        for each in (caller, server):
            each.go()
    assert {local for local, _, _ in node.told()} == {CART}


def test_nothing_is_told_of_namespaces_that_are_left_out(node: Node, tmp_path: Path) -> None:
    node.put_service("cart")
    node.put_service("shop", "kube-system")
    with running(node, tmp_path, exclude_namespaces="kube-system"):
        server = node.start(1, SERVER)
        node.put_pod(1, "shop", server.container, "kube-system")
        server.go()
        caller = node.start(2, CALLER, server.line())
        node.put_pod(2, "cart", caller.container)
        caller.line()
        caller.go()
        assert caller.line() == "done"
        node.receiver.until(lambda: (CART, "127.0.0.1", "close") in node.told() and node.receiver.reported())
        for each in (caller, server):
            each.go()
    assert {local for local, _, _ in node.told()} == {CART}
    assert {service for _, service, _, _ in node.receiver.reported()} == {"east::cart.shop"}
