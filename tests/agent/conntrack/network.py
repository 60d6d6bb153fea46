"""A node with a pod and two backends on it, joined by veth pairs, and service addresses that nftables translates.

The machine itself is the node: its connection tracking translates what the pod sends. Everything has names and
addresses of its own and is taken away at the end.
"""

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from pyroute2 import NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from agent.connections.view import endpoint_port
from agent.conntrack.watcher import dump, open_sockets
from agent.events.layout import ADDRESS_BYTES
from agent.export.heads import address_text

PROGRAM = Path(__file__).with_name("endpoints.py")
TABLE = "pyrover_conntrack_test"
POD, BACKENDS = "pyrover-test-pod", "pyrover-test-backends"
FORWARDING = {
    4: Path("/proc/sys/net/ipv4/ip_forward"),
    6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}
SERVICE = {4: ("10.213.99.1", 80), 6: ("fd13:99::1", 80)}
NODE_PORT = {4: ("10.213.1.1", 30080), 6: ("fd13:1::1", 30080)}
BACKEND_ADDRESSES = {4: ("10.213.2.2", "10.213.2.3"), 6: ("fd13:2::2", "fd13:2::3")}
BACKEND_PORTS = (8081, 8082, 8083)

RULES = """
table inet {table} {{
  chain translate {{
    ip daddr 10.213.99.1 meta l4proto {{ tcp, udp }} th dport 80 dnat ip to numgen random mod 6 map {{ {four} }}
    ip6 daddr fd13:99::1 meta l4proto {{ tcp, udp }} th dport 80 dnat ip6 to numgen random mod 6 map {{ {six} }}
    ip daddr 10.213.1.1 tcp dport 30080 dnat ip to numgen random mod 6 map {{ {four} }}
    ip6 daddr fd13:1::1 tcp dport 30080 dnat ip6 to numgen random mod 6 map {{ {six} }}
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; jump translate; }}
  chain output {{ type nat hook output priority -100; jump translate; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    meta l4proto tcp ct original proto-dst 30080 oifname "pyrover-back" masquerade
  }}
}}
"""


def reason_to_skip() -> str:
    """Why translated connections cannot be made here, or ""."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if missing := [name for name in ("ip", "nft") if shutil.which(name) is None]:
        return f"needs {', '.join(missing)}"
    trial = f"add table inet {TABLE}_trial; add chain inet {TABLE}_trial c {{ type nat hook output priority 0; }}"
    try:
        run("nft", "--check", trial)
    except subprocess.CalledProcessError as error:
        return f"this kernel translates no addresses (nf_tables, nf_nat): {error.stderr.strip().splitlines()[0]}"
    return ""


def run(*command: str, namespace: str = "", stdin: str | None = None) -> str:
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    done = subprocess.run([*prefix, *command], input=stdin, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


@contextmanager
def network() -> Iterator[None]:
    """The node, the pod and the backends, without any translation."""
    with ExitStack() as stack:
        for name in (POD, BACKENDS):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
            run("ip", "link", "set", "lo", "up", namespace=name)
        for number, (name, device) in enumerate(((POD, "pyrover-pod"), (BACKENDS, "pyrover-back")), start=1):
            run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
            stack.callback(subprocess.run, ["ip", "link", "delete", device], capture_output=True, check=False)
            run("ip", "addr", "add", f"10.213.{number}.1/24", "dev", device)
            run("ip", "addr", "add", f"fd13:{number}::1/64", "dev", device, "nodad")
            run("ip", "link", "set", device, "up")
            run("ip", "link", "set", "eth0", "up", namespace=name)
            for host in (2, 3):
                run("ip", "addr", "add", f"10.213.{number}.{host}/24", "dev", "eth0", namespace=name)
                run("ip", "addr", "add", f"fd13:{number}::{host}/64", "dev", "eth0", "nodad", namespace=name)
            run("ip", "route", "add", "default", "via", f"10.213.{number}.1", namespace=name)
            run("ip", "-6", "route", "add", "default", "via", f"fd13:{number}::1", namespace=name)
        # What is not translated must not leave the machine.
        for version, (address, _) in SERVICE.items():
            run("ip", f"-{version}", "route", "add", address, "dev", "pyrover-back")
        for setting in FORWARDING.values():
            stack.callback(setting.write_text, setting.read_text())
            setting.write_text("1")
        yield


@contextmanager
def translation() -> Iterator[None]:
    """The services' addresses lead to a random backend and port meanwhile."""
    targets = {
        version: ", ".join(
            f"{at} : {address} . {port}"
            for at, (address, port) in enumerate((address, port) for address in addresses for port in BACKEND_PORTS)
        )
        for version, addresses in BACKEND_ADDRESSES.items()
    }
    run("nft", "--file", "-", stdin=RULES.format(table=TABLE, four=targets[4], six=targets[6]))
    try:
        yield
    finally:
        run("nft", "delete", "table", "inet", TABLE)
        for places in (SERVICE, NODE_PORT):
            for place in places.values():
                forget_connections(place)


@dataclass(frozen=True)
class Exchange:
    """One connection as one of its ends saw it."""

    number: int
    local: tuple[str, int]
    remote: tuple[str, int]


class Endpoint:
    """A process of endpoints.py; says what it did when it has done it."""

    def __init__(self, namespace: str, *arguments: str) -> None:
        prefix = ("ip", "netns", "exec", namespace) if namespace else ()
        self._process = subprocess.Popen(
            [*prefix, sys.executable, str(PROGRAM), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid  # `ip netns exec` becomes the program
        assert self.line() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            _stream(stream).close()

    def line(self) -> Any:  # noqa: ANN401 - whatever the program says
        return json.loads(_stream(self._process.stdout).readline())

    def go(self) -> None:
        """Let a client do its next portion, or a server tell what it has accepted."""
        _stream(self._process.stdin).write("\n")
        _stream(self._process.stdin).flush()

    def exchanges(self) -> list[Exchange]:
        self.go()
        return [Exchange(number, tuple(local[:2]), tuple(remote[:2])) for number, local, remote in self.line()]


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def servers(version: int) -> Endpoint:
    """One process that listens on every address and port of the backends."""
    places = [f"{address},{port}" for address in BACKEND_ADDRESSES[version] for port in BACKEND_PORTS]
    return Endpoint(BACKENDS, "serve", *places)


def client(namespace: str, to: tuple[str, int], count: int, *options: str) -> Endpoint:
    """A process that makes `count` connections, one after the other."""
    return Endpoint(namespace, "connect", to[0], str(to[1]), str(count), *options)


def as_bytes(end: tuple[str, int]) -> bytes:
    """An end as views and translations hold it."""
    address = ipaddress.ip_address(end[0])
    packed = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    return packed + end[1].to_bytes(2)


def forget_connections(to: tuple[str, int]) -> None:
    """Have the kernel's connection tracking forget all connections to a translated address.

    Datagrams from the same port would go on with one of them for minutes.
    """
    events, requests = open_sockets()
    with events, requests:
        tracked = [one for part in dump(requests) for one in part if one.destination == as_bytes(to)]
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with NFCTSocket(nfgen_family=family) as conntrack:
        for one in tracked:
            ends = NFCTAttrTuple(
                family=family,
                saddr=address_text(one.source[:ADDRESS_BYTES]),
                daddr=to[0],
                proto=one.protocol,
                sport=endpoint_port(one.source),
                dport=to[1],
            )
            with suppress(NetlinkError):  # forgotten by now
                conntrack.entry("del", tuple_orig=ends)
