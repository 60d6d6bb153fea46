"""Against this machine's /proc, with sockets and processes that the tests themselves make."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil
import pytest

from agent.discovery import procfs
from agent.discovery.go_programs import GoPrograms
from agent.discovery.host import ProcessFacts
from agent.discovery.procfs import ProcHost
from tests.agent.synthetic import address

Expected = TypeVar("Expected")
Found = TypeVar("Found")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def while_it_stays(expect: Callable[[], Expected], find: Callable[[], Found]) -> tuple[Expected, Found]:
    """What is expected and what is found, while the former stays: what was of a namespace that has ended may go."""
    deadline = time.monotonic() + 120
    while True:
        before, found, after = expect(), find(), expect()
        if before == after:
            return after, found
        assert time.monotonic() < deadline, "this machine never stays as it is"


def _inode(sock: socket.socket) -> int:
    return os.stat(sock.fileno()).st_ino  # noqa: PTH116 - of a descriptor


def test_facts_of_this_process() -> None:
    facts = ProcHost().process(os.getpid())
    assert facts is not None
    process = psutil.Process()
    assert facts.pid == os.getpid()
    assert facts.command == process.name()[:15]
    assert facts.executable == process.exe()
    assert list(facts.command_line) == process.cmdline()
    ticks = os.sysconf("SC_CLK_TCK")
    assert facts.start_ticks / ticks == pytest.approx(process.create_time() - psutil.boot_time(), abs=2)


def test_a_process_that_is_gone_has_no_facts() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host = ProcHost()
    assert host.process(child.pid) is None
    assert host.socket_descriptors(child.pid) is None
    assert host.socket_inode(child.pid, 0) is None


def test_a_command_with_spaces_and_parentheses_is_read_whole(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    numbers = " ".join(str(number) for number in range(4, 30))
    (folder / "stat").write_text(f"7 (a) (b c) S {numbers}\n")
    (folder / "cmdline").write_bytes(b"a\0--flag\0")
    (folder / "cgroup").write_text("1:name=systemd:/system.slice/a.service\n0::/\n4:memory:/x\n5:cpu:/x\nbad\n")
    (folder / "exe").symlink_to("/opt/a (deleted)")
    facts = ProcHost(str(tmp_path)).process(7)
    assert facts is not None
    assert (facts.command, facts.start_ticks, facts.executable) == ("a) (b c", 22, "/opt/a")
    assert facts.command_line == ("a", "--flag")
    assert facts.cgroups == ("/system.slice/a.service", "/x")


@pytest.mark.parametrize("stat", ["", "7 (a", "7 (a) S 1 2", "7 (a) S " + "x " * 30])
def test_a_damaged_stat_is_a_process_that_is_not_there(tmp_path: Path, stat: str) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    for name in ("stat", "cmdline", "cgroup"):
        (folder / name).write_text(stat)
    assert ProcHost(str(tmp_path)).process(7) is None


def test_sockets_of_this_process_are_found_with_both_ends(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
        scan = ProcHost().sockets()
        by_inode = {found.inode: found for found in scan.sockets}
        found = by_inode[_inode(listener)]
        assert found.listening
        assert (found.local_address, found.local_port) == (address("127.0.0.1"), listener.getsockname()[1])
        assert found.owners == ((os.getpid(), listener.fileno()),)
        for sock in (client, accepted):
            found = by_inode[_inode(sock)]
            assert not found.listening
            assert (found.local_port, found.remote_port) == (sock.getsockname()[1], sock.getpeername()[1])
            assert found.owners == ((os.getpid(), sock.fileno()),)
            assert found.network_namespace == os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116
        assert ProcHost(excluded={os.getpid()}).sockets().sockets
        excluded = {found.inode: found for found in ProcHost(excluded={os.getpid()}).sockets().sockets}
        assert excluded[_inode(client)].owners == ()


def test_a_kernel_without_network_namespaces_has_one(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procfs, "_OWN_NAMESPACE", tmp_path / "net")
    host = ProcHost()
    scan = host.sockets()
    assert host.network_namespace() == 0
    assert set(scan.own_addresses) == {0}
    (found,) = (each for each in scan.sockets if each.inode == _inode(listener))
    assert (found.network_namespace, found.listening) == (0, True)


def test_own_addresses_are_those_of_the_interfaces() -> None:
    def of_the_system() -> set[bytes]:
        return {
            address(entry.address.partition("%")[0])
            for name, entries in psutil.net_if_addrs().items()
            for entry in entries
            if entry.family in {socket.AF_INET, socket.AF_INET6} and name != "lo"
        }

    expected, scan = while_it_stays(of_the_system, ProcHost().sockets)
    assert expected <= set(scan.own_addresses[os.stat("/proc/self/ns/net").st_ino])  # noqa: PTH116


def test_descriptors_and_inodes(listener: socket.socket) -> None:
    host = ProcHost()
    with Path(os.devnull).open() as other:
        descriptors = host.socket_descriptors(os.getpid())
        assert descriptors is not None
        assert descriptors[listener.fileno()] == _inode(listener)
        assert other.fileno() not in descriptors
        assert host.socket_inode(os.getpid(), listener.fileno()) == _inode(listener)
        assert host.socket_inode(os.getpid(), other.fileno()) is None
        assert host.socket_inode(os.getpid(), 1_000_000) is None


def test_interfaces_are_those_of_the_system() -> None:
    def of_the_system() -> set[tuple[int, int, str]]:
        stats = psutil.net_if_stats()
        return {(index, stats[name].mtu, name) for index, name in socket.if_nameindex() if name in stats}

    expected, found = while_it_stays(of_the_system, lambda: ProcHost().interfaces())
    assert {(interface.index, interface.mtu, interface.name) for interface in found} == expected


def test_a_program_whose_path_is_no_text_has_a_name_that_can_be_told(tmp_path: Path) -> None:
    program = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copy(shutil.which("sleep") or "", program)
    go_programs = GoPrograms()  # whose process is asked: the kernel lists no file under the name that can be told
    with subprocess.Popen([program, "60"]) as child:
        try:
            facts = ProcHost(go_programs=go_programs).process(child.pid)
        finally:
            child.kill()
            go_programs.close()
    assert facts is not None
    assert facts.executable == str(tmp_path / "caf\N{REPLACEMENT CHARACTER}")
    assert msgspec.json.decode(msgspec.json.encode(facts), type=ProcessFacts) == facts


def test_without_a_descriptor_to_spare_the_interfaces_are_those_of_before() -> None:
    host = ProcHost()
    interfaces, addresses = host.interfaces(), host.addresses()
    assert interfaces
    assert addresses
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            socket.if_nameindex()
        found = host.interfaces(), host.addresses(), ProcHost().interfaces()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert found == (interfaces, addresses, ())


def test_boot_time_turns_monotonic_time_into_wall_time() -> None:
    # The smallest of several: who reads them may have to wait between the one clock and the other.
    expected = min(-time.clock_gettime_ns(time.CLOCK_MONOTONIC) + time.time_ns() for _ in range(10))
    assert abs(ProcHost().boot_time_ns() - expected) <= 100_000_000


def test_another_root_without_processes_is_an_empty_host(tmp_path: Path) -> None:
    scan = ProcHost(str(tmp_path / "absent")).sockets()
    assert scan.sockets == ()
    assert scan.own_addresses == {}
