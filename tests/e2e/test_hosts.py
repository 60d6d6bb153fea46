"""The real agent on a plain host: what it reports of processes is what its logs call them, as SkyWalking takes it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from protos.ebpf import accesslog_pb2 as wire
from tests.agent.discovery.control_groups import control_group, enter
from tests.e2e.cluster_receiver import Receiver
from tests.e2e.programs import agent, finish, network_namespace, program, read_line
from tests.e2e.test_cluster import CALLER, SERVER

pytestmark = pytest.mark.kernel

DIGITS = f"{os.getpid():08x}{'ab' * 28}"
"""Of a container that no engine knows, so that it is called by the first of them."""
NODE = "host-7"


class Host:
    """Processes in control groups like those of a host, in a network of their own."""

    def __init__(self, stack: ExitStack) -> None:
        self.receiver = Receiver()
        self._stack = stack
        self._started = 0
        self._prefix = stack.enter_context(network_namespace(f"pyrover-hosts-{os.getpid()}"))

    def start(self, group: str, script: Path, *arguments: str) -> "subprocess.Popen[bytes]":
        """A program in a control group, which waits to be let go."""
        self._started += 1
        path = f"/pyrover-hosts-{os.getpid()}/{self._started}/{group}"
        folder = self._stack.enter_context(control_group(2, path))
        command: list[str | Path] = [*self._prefix, sys.executable, script, *arguments]
        started = self._stack.enter_context(program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        enter(folder, started.pid)
        return started

    def named(self) -> set[tuple[str, str, str]]:
        """Service, instance and process of each local end in the logs so far."""
        found = set()
        for messages in self.receiver.streams():
            for message in messages:
                if message.HasField("connection"):
                    local: wire.KubernetesProcessAddress = message.connection.local.kubernetes
                    found.add((local.serviceName, local.podName, local.processName))
        return found


@contextmanager
def running(host: Host, folder: Path, **discovery: object) -> Iterator[None]:
    """The agent meanwhile; it must end well."""
    with host.receiver.serving() as backend:
        configuration = folder / "agent.yaml"
        settings = {
            "core": {"backend": {"addr": backend}},
            "node": {"name": NODE},
            "access_log": {"flush": {"period": "200ms"}},
            "process_discovery": {"heartbeat_period": "200ms"},
            "discovery": discovery,
            "tls": {"enabled": False},
        }
        configuration.write_text(yaml.safe_dump(settings))
        with agent("--config", configuration) as process:
            yield
            finish(process)
    assert host.receiver.violations == []


def go(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def line(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    return read_line(process.stdout.fileno(), "a process of the test").strip()


@pytest.fixture
def host() -> Iterator[Host]:
    with ExitStack() as stack:
        yield Host(stack)


def _scripts(folder: Path) -> tuple[Path, Path]:
    caller, server = folder / "cart-caller.py", folder / "cart-server.py"
    caller.write_text(CALLER)
    server.write_text(SERVER)
    return caller, server


def test_processes_of_a_host_are_reported_and_kept_alive_under_the_names_of_their_logs(
    host: Host, tmp_path: Path
) -> None:
    caller, server = _scripts(tmp_path)
    mark = f"mark-{os.getpid()}"
    rule = {"service": r"ruled-\1", "command_line": rf"--{mark}-(\w+)"}
    with running(host, tmp_path, service_rules=[rule], layer="OS_LINUX"):
        groups = {
            f"unit-{os.getpid()}": (f"system.slice/unit-{os.getpid()}.service", ()),
            DIGITS[:12]: (f"system.slice/docker-{DIGITS}.scope", ()),
            "ruled-cart": ("ruled", (f"--{mark}-cart",)),
            "cart-caller": ("plain", ()),
        }
        processes = {}
        for service, (group, arguments) in groups.items():
            listening = host.start("servers", server)
            go(listening)
            calling = processes[service] = host.start(group, caller, line(listening), *arguments)
            line(calling)
            go(calling)
            assert line(calling) == "done"
        program_name = Path(sys.executable).resolve().name
        expected = {(service, NODE, program_name) for service in (*groups, "cart-server")}
        host.receiver.until(lambda: host.named() >= expected)
        host.receiver.until(lambda: host.receiver.kept_alive() >= set(groups))
        host.receiver.until(lambda: {each.pid for each in processes.values()} <= set(host.receiver.processes()))
        told = host.receiver.processes()
        for service, each in processes.items():
            assert told[each.pid].WhichOneof("metadata") == "hostProcess"
            of_host = told[each.pid].hostProcess
            entity = of_host.entity
            assert (entity.layer, entity.serviceName, entity.instanceName) == ("OS_LINUX", service, NODE)
            assert (entity.processName, list(entity.labels)) == (program_name, [])
            properties = {each.key: each.value for each in of_host.properties}
            container = {"container_name": DIGITS[:12]} if service == DIGITS[:12] else {}
            assert {**properties, "host_ip": ""} == {
                "host_ip": "",
                **container,
                "pid": str(each.pid),
                "command_line": Path(f"/proc/{each.pid}/cmdline")
                .read_bytes()
                .rstrip(b"\0")
                .replace(b"\0", b" ")
                .decode(),
                "support_ebpf_profiling": "false",
            }
            assert properties["host_ip"].count(".") == 3 or ":" in properties["host_ip"]
        # Who has ended is not kept alive any more.
        gone = processes.pop("ruled-cart")
        go(gone)
        assert gone.wait() == 0
        host.receiver.until(lambda: host.receiver.is_kept_without("ruled-cart", frozenset(processes)))
        for each in processes.values():
            go(each)


def test_nothing_is_reported_where_that_is_off(host: Host, tmp_path: Path) -> None:
    caller, server = _scripts(tmp_path)
    with running(host, tmp_path, reported=False):
        listening = host.start("servers", server)
        go(listening)
        calling = host.start("callers", caller, line(listening))
        line(calling)
        go(calling)
        assert line(calling) == "done"
        names = {(service, NODE, Path(sys.executable).resolve().name) for service in ("cart-caller", "cart-server")}
        host.receiver.until(lambda: host.named() >= names)
        go(calling)
        go(listening)
    assert host.receiver.processes() == {}
