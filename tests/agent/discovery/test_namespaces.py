"""Interfaces read from within real network namespaces, beside what `ip` says there."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.discovery.host import Interface
from agent.discovery.namespaces import NamespaceReader
from agent.discovery.procfs import ProcHost
from tests.agent.discovery.test_procfs import while_it_stays
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="entering a network namespace needs root, and making one unshare and ip",
)


SETUP = """
ip link set lo up && ip link add left mtu 1234 type veth peer name right && ip -json link show && echo && exec cat
"""


def _host() -> ProcHost:
    """One that waits for an answer of a namespace until it comes."""
    host = ProcHost()
    host._reader = NamespaceReader(seconds=PATIENCE)
    return host


@contextmanager
def _namespace() -> Iterator[tuple[int, int, tuple[Interface, ...]]]:
    """(a process in a namespace of its own, the namespace, its interfaces as `ip` shows them)."""
    command = ["unshare", "--net", "sh", "-c", SETUP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while (line := process.stdout.readline().strip()) or not text:
            text += line
            if process.poll() is not None:
                pytest.skip("this machine makes no network namespaces with interfaces")
        shown = tuple(Interface(link["ifindex"], link["mtu"], link["ifname"]) for link in json.loads(text))
        yield process.pid, Path(f"/proc/{process.pid}/ns/net").stat().st_ino, shown
        assert process.stdin is not None
        process.stdin.close()


def test_the_interfaces_are_those_that_ip_shows_and_the_reader_stays_outside() -> None:
    here = Path("/proc/thread-self/ns/net")
    outside, threads = here.stat().st_ino, set(threading.enumerate())
    with _namespace() as (process, namespace, shown):
        assert len(shown) == 3
        assert _host().interfaces_of(namespace, process) == shown
    assert here.stat().st_ino == outside
    assert set(threading.enumerate()) <= threads


def test_an_interface_whose_name_is_no_text_has_one_that_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        f"{__name__}.SETUP", SETUP.replace("exec cat", r"ip link set left name $(printf '\377') && exec cat")
    )
    with _namespace() as (process, namespace, shown):
        expected = tuple(
            Interface(each.index, each.mtu, "\N{REPLACEMENT CHARACTER}" if each.name == "left" else each.name)
            for each in shown
        )
        until(lambda: _host().interfaces_of(namespace, process) == expected, f"renamed to {expected}")


def test_another_namespace_than_the_one_asked_for_is_no_answer() -> None:
    own = ProcHost().network_namespace()
    with _namespace() as (process, namespace, _):
        host = _host()
        assert namespace != own
        assert host.interfaces_of(own, process) is None
        assert NamespaceReader(PATIENCE).interfaces(f"/proc/{process}/ns/net", own) is None
        host.sockets()  # finds a process of each namespace
        expected, found = while_it_stays(host.interfaces, lambda: host.interfaces_of(own, process))
        assert found == expected


def test_a_process_that_has_gone_is_no_answer() -> None:
    with _namespace() as (process, namespace, _):
        pass
    assert _host().interfaces_of(namespace, process) is None
    assert NamespaceReader(PATIENCE).interfaces(f"/proc/{process}/ns/net", namespace) is None


def test_a_reader_waits_for_one_answer_at_a_time(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it waits for its other end
    reader = NamespaceReader(seconds=0.01)
    assert reader.interfaces(str(pipe), 1) is None
    assert reader.interfaces("/proc/self/ns/net", ProcHost().network_namespace()) is None
    os.close(os.open(pipe, os.O_WRONLY))
    assert reader._thread is not None
    reader._thread.join()
    reader, own = NamespaceReader(PATIENCE), ProcHost().network_namespace()
    expected, found = while_it_stays(ProcHost().interfaces, lambda: reader.interfaces("/proc/self/ns/net", own))
    assert found == expected
