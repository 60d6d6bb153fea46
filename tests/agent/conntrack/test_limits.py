"""What the watcher does when there is too much of something."""

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.conntrack import watcher as watching
from agent.conntrack.examination import examine_conntrack
from agent.conntrack.namespaces import open_in_namespace
from agent.conntrack.translation import Translation
from agent.conntrack.watcher import ConntrackWatcher
from tests.agent.conntrack import network
from tests.agent.conntrack.network import as_bytes
from tests.waiting import until

pytestmark = pytest.mark.kernel

if reason := network.reason_to_skip():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    with network.network(), network.translation():
        yield


@pytest.fixture
def watcher() -> Iterator[ConntrackWatcher]:
    one = ConntrackWatcher("/proc", 2)
    one.start()
    until(lambda: one.watched)
    one.take({})
    yield one
    one.close()


@pytest.fixture
def elsewhere() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes in network namespaces of their own."""
    processes = [subprocess.Popen(["unshare", "--net", "sleep", "600"]) for _ in range(4)]
    until(lambda: all(Path(f"/proc/{one.pid}/comm").read_text() == "sleep\n" for one in processes))
    yield processes
    for one in processes:
        one.kill()
        one.wait()


def _namespace(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def test_a_queue_of_the_kernel_that_was_full_is_counted_and_all_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_RECEIVE_BYTES", 1)  # the kernel makes it a few KiB: four events or so
    one = ConntrackWatcher("/proc", 2)
    one.start()
    until(lambda: one.watched)
    one.take({})
    try:
        # Its lock holds the thread at the first event, so that the others pile up.
        with network.servers(4), network.client(network.POD, network.SERVICE[4], 40) as client, one._lock:
            made = client.exchanges()
        ends = {(as_bytes(each.local), as_bytes(each.remote)) for each in made}
        told: set[tuple[bytes, bytes]] = set()

        def are_told() -> bool:
            told.update((each.source, each.destination) for each in one.take({}))
            return ends <= told

        until(are_told)
        assert one.losses() == {"translations: the kernel's queue was full": 1}
    finally:
        one.close()


def test_a_queue_of_the_agent_that_is_full_is_counted(
    watcher: ConntrackWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "QUEUE", 3)
    with network.servers(4), network.client(network.POD, network.SERVICE[4], 10) as client:
        client.exchanges()
        until(lambda: sum(watcher.losses().values()) == 7)
    assert watcher.losses() == {"translations: the agent's queue was full": 7}
    assert len(watcher.take({})) == 3


def test_namespaces_are_listened_to_until_there_are_too_many(
    watcher: ConntrackWatcher, elsewhere: list[subprocess.Popen[bytes]]
) -> None:
    own = _namespace(os.getpid())
    namespaces = {_namespace(one.pid): one.pid for one in elsewhere}
    assert len(namespaces) == 4
    first_two = dict(list(namespaces.items())[:2])
    watcher.take(first_two)
    until(lambda: watcher.watched == {own, *first_two})
    watcher.take(namespaces)
    assert watcher.losses() == {"translations: too many network namespaces": 2}
    assert watcher.watched == {own, *first_two}


def test_a_namespace_is_left_with_its_process(
    watcher: ConntrackWatcher, elsewhere: list[subprocess.Popen[bytes]]
) -> None:
    process = elsewhere[0]
    namespace = _namespace(process.pid)
    watcher.take({namespace: process.pid})
    until(lambda: namespace in watcher.watched)
    process.kill()
    process.wait()
    until(lambda: namespace not in watcher.watched)
    watcher.take({namespace: process.pid})  # news of one that is gone
    reviews = watcher.reviews
    until(lambda: watcher.reviews > reviews)
    assert watcher.watched == {_namespace(os.getpid())}
    assert watcher.losses() == {}


def test_translations_within_a_namespace_of_its_own_are_told(watcher: ConntrackWatcher) -> None:
    chain = "chain output { type nat hook output priority -100; tcp dport 80 dnat to 10.213.1.3:8080; }"
    network.run("nft", "--file", "-", stdin=f"table ip t {{\n{chain}\n}}\n", namespace=network.POD)
    with (
        network.Endpoint(network.POD, "serve", "10.213.1.3,8080") as server,
        network.client(network.POD, ("10.213.1.2", 80), 5) as client,
    ):
        watcher.take({_namespace(client.pid): client.pid})
        until(lambda: _namespace(client.pid) in watcher.watched)
        made = client.exchanges()
        told: list[Translation] = []

        def are_told() -> bool:
            told.extend(watcher.take({}))
            return len(told) >= len(made)

        until(are_told)
        assert {(one.source, one.new_destination) for one in told} == {
            (as_bytes(one.local), as_bytes(("10.213.1.3", 8080))) for one in made
        }
        assert {(one.namespace, one.of_host) for one in told} == {(_namespace(client.pid), False)}
        assert len(server.exchanges()) == 5


def test_the_thread_comes_back_from_a_namespace_whatever_happens_there(
    elsewhere: list[subprocess.Popen[bytes]],
) -> None:
    own, pid = _namespace(os.getpid()), elsewhere[0].pid
    here = Path("/proc/thread-self/ns/net")
    assert open_in_namespace(f"/proc/{pid}/ns/net", _namespace(pid), lambda: here.stat().st_ino) == _namespace(pid)
    assert here.stat().st_ino == own

    def fail() -> None:
        raise OSError(errno.EPROTO, "no")

    with pytest.raises(OSError, match="no"):
        open_in_namespace(f"/proc/{pid}/ns/net", _namespace(pid), fail)
    assert here.stat().st_ino == own
    with pytest.raises(FileNotFoundError):
        open_in_namespace(f"/proc/{pid}/ns/net", own, socket.socket)


def test_doctor_reads_connection_tracking() -> None:
    finding = examine_conntrack()
    assert finding.good
    assert finding.text.startswith("readable, ")


def test_doctor_says_when_the_kernel_tells_nothing(tmp_path: Path) -> None:
    settings = tmp_path / "sys" / "net" / "netfilter"
    assert "not in use" in examine_conntrack(str(tmp_path)).text
    settings.mkdir(parents=True)
    (settings / "nf_conntrack_count").write_text("1\n")
    (settings / "nf_conntrack_events").write_text("0\n")
    finding = examine_conntrack(str(tmp_path))
    assert not finding.good
    assert finding.advice == "sysctl net.netfilter.nf_conntrack_events=1"
