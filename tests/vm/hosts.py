"""Two hosts on one machine: network namespaces joined by a veth pair, each with an nftables counter at every hook.

The counters, a packet capture and /proc/net/snmp say what passed, independently of the programs under test.
"""

import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.waiting import PATIENCE

EXCHANGE = Path(__file__).with_name("exchange.py")
HOOKS = ("prerouting", "input", "output", "postrouting")
SUBNETS = {4: ipaddress.ip_network("10.55.0.0/24"), 6: ipaddress.ip_network("fd55::/64")}


def command(*words: str, **options: Any) -> str:  # noqa: ANN401 # handed to subprocess
    """Run a program that must succeed; what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(words)} failed with status {done.returncode}: {done.stderr.strip()}")
    return str(done.stdout)


@dataclass
class Host:
    """One network namespace with one interface."""

    name: str
    number: int
    interface: str

    def address(self, version: int) -> str:
        """Its address in the common subnet."""
        return str(SUBNETS[version][self.number])

    def run(self, *words: str) -> str:
        """Run a program here that must succeed; what it printed."""
        return command("ip", "netns", "exec", self.name, *words)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a program here, with its input and output at hand."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def inode(self) -> int:
        """Inode number of the namespace: how events name it."""
        return Path(f"/run/netns/{self.name}").stat().st_ino

    @property
    def interface_index(self) -> int:
        """Index of the interface within this namespace."""
        found: int = json.loads(self.run("ip", "-json", "link", "show", self.interface))[0]["ifindex"]
        return found

    def rules(self, text: str) -> None:
        """Load nftables rules."""
        command("ip", "netns", "exec", self.name, "nft", "-f", "-", input=text)

    def count_port(self, port: int) -> None:
        """From now on count the TCP and UDP packets to and from this port at every hook."""
        lines = ["table inet counting {"]
        for hook in HOOKS:
            lines.append(f"  chain {hook} {{ type filter hook {hook} priority 0; policy accept;")
            lines += [
                f'    meta l4proto {{ tcp, udp }} th {way} {port} counter comment "{way}"' for way in ("dport", "sport")
            ]
            lines.append("  }")
        self.rules("\n".join([*lines, "}"]))

    def counted(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) by "hook way", since `count_port`."""
        listed = json.loads(self.run("nft", "-j", "list", "table", "inet", "counting"))["nftables"]
        found = {}
        for entry in listed:
            if rule := entry.get("rule"):
                counter = next(part["counter"] for part in rule["expr"] if "counter" in part)
                found[f"{rule['chain']} {rule['comment']}"] = (counter["packets"], counter["bytes"])
        return found

    def snmp(self) -> dict[str, int]:
        """Counters of TCP in this namespace."""
        lines = [line.split() for line in self.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Tcp:")]
        return dict(zip(lines[0][1:], map(int, lines[1][1:]), strict=True))

    @contextlib.contextmanager
    def capture(self, expression: str) -> Iterator["Capture"]:
        """Capture packets of the interface that match, until the end of the block."""
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/capture"
            words = ["tcpdump", "--immediate-mode", "-U", "-B", "65536", "-s", "128", "-i", self.interface, "-w", path]
            with self.start(*words, "-Z", "root", expression) as process:
                assert process.stderr is not None
                for line in process.stderr:
                    if "listening on" in line:
                        break
                captured = Capture()
                try:
                    yield captured
                finally:
                    process.send_signal(signal.SIGINT)
                    _, errors = process.communicate(timeout=PATIENCE)
                    assert "0 packets dropped by kernel" in errors, errors
            captured.lines = command("tcpdump", "-n", "-S", "-tt", "-r", path).splitlines()


@dataclass
class Capture:
    """What tcpdump printed, a line per packet; complete after the block."""

    lines: list[str] = field(default_factory=list)


class Exchange:
    """One end of a workload (exchange.py), told line by line what to do."""

    def __init__(self, host: Host, version: int) -> None:
        self._process = host.start(sys.executable, "-I", str(EXCHANGE), str(version))
        self.process: int = self._answer()["process"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate("", PATIENCE)
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def begin(self, action: str, **arguments: Any) -> None:  # noqa: ANN401 # JSON
        """Ask for something without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"action": action, **arguments}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:  # noqa: ANN401 # JSON
        """The answer to what was begun."""
        return self._answer()

    def do(self, action: str, **arguments: Any) -> Any:  # noqa: ANN401 # JSON
        """Ask for something and wait for the answer."""
        self.begin(action, **arguments)
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 # JSON
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError(f"the workload ended: {self._process.stderr.read()}")
        return json.loads(line)


@contextlib.contextmanager
def churning(sender: Exchange, receiver: Exchange, host: str, port: int, count: int) -> Iterator[None]:
    """Make connections, one after the other, while the block runs; at its end each of them was made and served."""
    receiver.begin("serve", count=count)
    sender.begin("churn", host=host, port=port, count=count)
    yield
    assert sender.end() == receiver.end() == {}


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """A client's and a server's namespace, joined, with addresses of both families."""
    suffix = os.getpid()
    hosts = (Host(f"client{suffix}", 1, "eth0"), Host(f"server{suffix}", 2, "eth0"))
    try:
        for host in hosts:
            command("ip", "netns", "add", host.name)
        names = [word for host in hosts for word in ("name", host.interface, "netns", host.name)]
        # A spare device first, so that the two interfaces of one name have different indexes.
        hosts[1].run("ip", "link", "add", "spare", "type", "veth", "peer", "spare2")
        command("ip", "link", "add", *names[:4], "type", "veth", "peer", *names[4:])
        for host in hosts:
            host.run("sysctl", "-q", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
            host.run("ip", "link", "set", "lo", "up")
            for version, subnet in SUBNETS.items():
                words = ["nodad"] if version == 6 else []  # IPv6
                host.run("ip", "address", "add", f"{host.address(version)}/{subnet.prefixlen}", "dev", "eth0", *words)
            host.run("ip", "link", "set", "eth0", "up")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.name], capture_output=True, check=False)


def offloads(hosts: tuple[Host, Host], *, on: bool, receive: bool | None = None) -> None:
    """Let packets pass as large as the sender makes them, or cut to the wire's size before they leave."""
    state = "on" if on else "off"
    received = "on" if (on if receive is None else receive) else "off"
    for host in hosts:
        host.run("ethtool", "-K", host.interface, "tso", state, "gso", state, "gro", received)
