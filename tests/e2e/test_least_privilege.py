"""An agent that has given away what only the loader needs still does what comes later."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.kernel.privileges import BPF, CAPABILITIES
from tests.agent.export.collector import Collector
from tests.e2e.http.calls import Call
from tests.e2e.http.certificates import Certificates, make_certificates
from tests.e2e.http.client import python_client
from tests.e2e.http.server import python_command, started
from tests.e2e.http.watching import watching
from tests.e2e.programs import ATTACH, PROGRAMS, network_namespace, program, read_line
from tests.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give capabilities away"),
]

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
STRANGER = """
import socket, sys
for line in sys.stdin:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname()).close()
    print("done", flush=True)
"""


@dataclass(frozen=True)
class Agent:
    """A running agent and where it tells of itself."""

    process: subprocess.Popen[bytes]
    metrics: str

    def threads(self) -> dict[str, dict[str, int]]:
        """Sets of capabilities by thread, and whether it may get new privileges."""
        found = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                lines = [line.split() for line in (task / "status").read_text().splitlines()]
            except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
                continue
            fields = {words[0].rstrip(":"): words[1] for words in lines if len(words) > 1}
            found[task.name] = {name: int(fields[name], 16) for name in (*SETS, "NoNewPrivs")}
        return found

    def figure(self, name: str) -> float:
        with urllib.request.urlopen(self.metrics, timeout=PATIENCE) as response:  # noqa: S310 - always http
            text = response.read().decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return next(sample.value for sample in samples if sample.name == name)


@contextmanager
def agent(*arguments: str | Path, **variables: str) -> Iterator[Agent]:
    command = [PROGRAMS / "pyrover-agent", "run", "--attach", ATTACH, *arguments]
    environment = {**os.environ, **variables, "ROVER_TELEMETRY_ADDRESS": "127.0.0.1:0"}
    with program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        address = read_line(process.stderr.fileno(), "the agent").removeprefix("figures at ").strip()
        assert "hooks" in read_line(process.stderr.fileno(), "the agent")
        yield Agent(process, address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def bits(numbers: frozenset[int]) -> int:
    return sum(1 << number for number in numbers)


@pytest.mark.parametrize(
    ("variables", "given_away"),
    [
        ({}, set()),
        (
            {"ROVER_TLS_ENABLED": "false", "ROVER_CONNTRACK_ENABLED": "false"},
            {"CAP_PERFMON", "CAP_NET_ADMIN"},
        ),
    ],
    ids=["everything", "without TLS and conntrack"],
)
def test_no_thread_has_more_than_it_needs(variables: dict[str, str], given_away: set[str]) -> None:
    needed = frozenset(each.bit for each in CAPABILITIES if each.name not in given_away)
    collector = Collector()
    with collector.serve() as port, agent("--backend", f"127.0.0.1:{port}", **variables) as running:
        threads = running.threads()
        assert threads[str(running.process.pid)] == {
            "CapInh": 0,
            "CapPrm": bits(needed),
            "CapEff": bits(needed),
            "CapBnd": bits(needed),
            "CapAmb": 0,
            "NoNewPrivs": 1,
        }
        for sets in threads.values():
            assert sets["CapPrm"] & ~bits(needed) == 0
            assert sets["CapEff"] == sets["CapPrm"]
            assert (sets["CapInh"], sets["CapAmb"], sets["NoNewPrivs"]) == (0, 0, 1)
        # The one that sends has none at all, and the one that answers questions can read counters of the kernel.
        assert {0, 1 << BPF} <= {sets["CapPrm"] for sets in threads.values()}


def test_a_recording_keeps_no_more_than_a_run(tmp_path: Path) -> None:
    needed = frozenset(each.bit for each in CAPABILITIES)
    file = tmp_path / "run.events"
    file.write_bytes(b"of before")
    command: list[str | Path] = [PROGRAMS / "pyrover-agent", "record", file, "--attach", ATTACH]
    with program(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "hooks" in read_line(process.stderr.fileno(), "the agent")
        threads = Agent(process, "").threads()
        assert threads[str(process.pid)] == {
            **dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), bits(needed)),
            **dict.fromkeys(("CapInh", "CapAmb"), 0),
            "NoNewPrivs": 1,
        }
        assert all(sets["CapPrm"] & ~bits(needed) == 0 and sets["NoNewPrivs"] for sets in threads.values())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not file.read_bytes().startswith(b"of before")


def test_what_was_recorded_stays_when_nothing_can_be(tmp_path: Path) -> None:
    file = tmp_path / "run.events"
    file.write_bytes(b"of before")
    command: list[str | Path] = [PROGRAMS / "pyrover-agent", "record", file, "--ring-bytes", "5"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert file.read_bytes() == b"of before"


def test_the_network_namespace_of_a_new_process_is_listened_to() -> None:
    if not Path("/proc/sys/net/netfilter/nf_conntrack_count").exists():
        pytest.skip("this kernel tracks no connections")
    collector = Collector()
    with (
        collector.serve() as port,
        agent("--backend", f"127.0.0.1:{port}", "--flush-period", "200ms") as running,
        network_namespace(f"pyrover-{os.getpid()}-later") as prefix,
    ):
        until(lambda: running.figure("pyrover_agent_conntrack_namespaces") >= 1, "the host is listened to")
        before = running.figure("pyrover_agent_conntrack_namespaces")
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", STRANGER]
        with program([*prefix, *user], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
            asked, said = stranger.stdin, stranger.stdout
            assert asked is not None
            assert said is not None

            def is_listened_to() -> bool:
                asked.write(b"\n")
                asked.flush()
                read_line(said.fileno(), "the stranger")
                return running.figure("pyrover_agent_conntrack_namespaces") > before

            until(is_listened_to, "the namespace of a process that came later is listened to")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """Copies of OpenSSL's libraries that no process uses yet."""
    program = "import ssl; print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    paths = {Path(line.split()[-1]) for line in maps.splitlines() if "/libssl.so" in line or "/libcrypto.so" in line}
    if not paths:
        pytest.skip("Python has OpenSSL built in here")
    folder = tmp_path / "libraries"
    folder.mkdir()
    for path in paths:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_library_that_comes_later_is_attached_to(tmp_path: Path, certificates: Certificates, libraries: Path) -> None:
    with watching(tmp_path) as watcher:
        command = ["env", f"LD_LIBRARY_PATH={libraries}", *python_command("servers.threading_server")]
        with started(command, tmp_path / "log", certificates, "openssl") as server:
            maps = Path(f"/proc/{server.process.pid}/maps").read_text()
            assert str(libraries) in maps
            client = python_client("blocking_client", "keep")
            watcher.wait_for_tls(server.port, lambda: client(server, [Call("GET", "/bytes/1/0")]))
