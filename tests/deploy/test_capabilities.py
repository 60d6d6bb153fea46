"""The agent with exactly the capabilities that the manifests give it, and with each of them missing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.kernel.loader_options import OBJECTS
from agent.kernel.privileges import CAPABILITIES, PARANOIA
from tests.agent.export.collector import Collector
from tests.agent.wire_totals import totals_by_service
from tests.deploy.confinement import confined, names_without
from tests.deploy.rendering import DEPLOY, container, kustomized
from tests.e2e.programs import ATTACH, ROOT, program, read_line
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give capabilities away"),
]

OPTIONAL = [capability for capability in CAPABILITIES if not capability.required]
REQUIRED = [capability for capability in CAPABILITIES if capability.required]

LAST_OF_PERFMON = 2
"""The highest level of kernel.perf_event_paranoid that kernels know which are not patched."""
LOST = {
    "CAP_DAC_READ_SEARCH": {"descriptors"},
    "CAP_SYS_PTRACE": {"executable", "descriptors", "namespace"},
    "CAP_NET_ADMIN": {"conntrack"},
    "CAP_SYS_ADMIN": {"namespace"},
}
"""What cannot be reached any more, by the capability that is missing."""

STRANGER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
    client.sendall(b"x" * 1000)
    server.recv(1000, socket.MSG_WAITALL)
    print("done", flush=True)
    sys.stdin.readline()
"""


def granted() -> list[str]:
    """As the manifests say."""
    context = container(kustomized(DEPLOY), "DaemonSet", "pyrover-agent")["securityContext"]
    return [f"CAP_{name}" for name in context["capabilities"]["add"]]


@pytest.fixture(scope="module")
def objects() -> Path:
    """Where compiled programs are kept, so that each start after the first only loads."""
    OBJECTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    return OBJECTS


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process of another user that listens; in a network namespace of its own when that is asked for."""
    own_network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    prefix = own_network if getattr(request, "param", False) else []
    command = [*prefix, *user, "/usr/bin/python3", "-c", STRANGER]
    with program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read_line(process.stdout.fileno(), "the stranger")
        yield process


def examined(names: list[str], objects: Path) -> dict[str, Any]:
    """What doctor says with these capabilities."""
    command = confined([sys.executable, "-m", "agent.cli", "doctor", "--json", "--attach", ATTACH], names, objects)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["can_run"] is (done.returncode == 0), done.stderr
    return report


def texts(report: dict[str, Any], name: str) -> list[str]:
    return [finding["text"] for finding in report["findings"] if finding["name"] == name]


def test_with_those_that_are_listed_nothing_is_missed(objects: Path) -> None:
    report = examined(granted(), objects)
    assert report["can_run"] is True
    assert texts(report, "capability") == []
    everything = examined([*granted(), "CAP_DAC_OVERRIDE", "CAP_SYSLOG", "CAP_SETPCAP", "CAP_IPC_LOCK"], objects)
    assert [hook["source"] for hook in report["hooks"]] == [hook["source"] for hook in everything["hooks"]]


@pytest.mark.parametrize("capability", OPTIONAL, ids=lambda each: each.name)
def test_without_one_doctor_says_what_is_lost(capability: Any, objects: Path) -> None:  # noqa: ANN401 - a parameter
    report = examined(names_without(capability.name), objects)
    # A kernel of Debian opens perf events for CAP_SYS_ADMIN alone: without it fentry is what remains.
    is_closed = capability.name == "CAP_SYS_ADMIN" and int(PARANOIA.read_text()) > LAST_OF_PERFMON
    assert len(texts(report, "perf events")) == is_closed
    assert report["can_run"] is not (is_closed and ATTACH in {"kprobe", "tracepoint"})
    assert texts(report, "capability") == [f"without {capability.name}: {capability.lost}"]


@pytest.mark.parametrize("capability", REQUIRED, ids=lambda each: each.name)
def test_without_one_that_is_required_doctor_says_so(capability: Any, objects: Path) -> None:  # noqa: ANN401 - same
    report = examined(names_without(capability.name, "CAP_SYS_ADMIN"), objects)
    assert report["can_run"] is False
    assert texts(report, "privileges") == [f"user id 0, without {capability.name}"]
    (programs,) = [finding for finding in report["findings"] if finding["name"] == "programs"]
    assert programs["good"] is False


@pytest.mark.parametrize("stranger", [True], indirect=True)
def test_each_is_needed_for_what_it_is_listed_for(stranger: subprocess.Popen[bytes], objects: Path) -> None:
    def reached(names: list[str]) -> dict[str, bool]:
        command = confined([sys.executable, "-m", "tests.deploy.confinement", str(stranger.pid)], names, objects)
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=PATIENCE)
        found: dict[str, bool] = json.loads(done.stdout)
        return found

    assert set(LOST) == {capability.name for capability in OPTIONAL}
    assert set(reached(granted()).values()) == {True}
    for name, lost in LOST.items():
        found = reached(names_without(name))
        assert {what for what, there in found.items() if not there} == lost, name


def test_the_agent_delivers_what_others_do(stranger: subprocess.Popen[bytes], objects: Path, tmp_path: Path) -> None:
    """As in its container: these capabilities, a root file system that is read-only, and another user's process."""
    assert stranger.stdin is not None
    assert stranger.stdout is not None
    configuration = objects.parent / f"{tmp_path.name}-{os.getpid()}.yaml"
    configuration.write_text(
        "discovery: {service_rules: [{service: stranger, command_line: MSG_WAITALL}]}\n"
        "access_log: {flush: {period: 200ms}}\n"
    )
    collector = Collector()

    def totals() -> dict[str, Any]:
        messages = [message for batch in list(collector.accepted.values()) for message in batch]
        return dict(totals_by_service(messages).get("stranger", {}))

    try:
        with collector.serve() as port:
            arguments = ["run", "--attach", ATTACH, "--config", str(configuration), "--backend", f"127.0.0.1:{port}"]
            command = confined([sys.executable, "-m", "agent.cli", *arguments], granted(), objects)
            with program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as agent:
                assert agent.stderr is not None
                assert "hooks" in read_line(agent.stderr.fileno(), "the agent")
                stranger.stdin.write(b"\n")
                stranger.stdin.flush()
                assert read_line(stranger.stdout.fileno(), "the stranger") == "done\n"
                collector.wait(lambda: totals().get("bytes_read") == 1000)
                stranger.stdin.close()
                assert stranger.wait(PATIENCE) == 0
                agent.send_signal(signal.SIGTERM)
                assert agent.wait(PATIENCE) == 0
    finally:
        configuration.unlink()
    found = totals()
    assert {name: found[name] for name in ("connects", "accepts", "bytes_written", "bytes_read")} == {
        "connects": 1,
        "accepts": 1,
        "bytes_written": 1000,
        "bytes_read": 1000,
    }
