"""bpf/transfer.c and its system calls on the running kernel: counts and bytes of known workloads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.events.layout import EventKind, Events, Role, SystemCall
from tests.agent.kernel.watching import Run, Watch, address

pytestmark = pytest.mark.kernel

HOSTS = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
SIZES = [2, 23, 4001, 30011]


def by_call(events: Events) -> dict[str, list[int]]:
    """Bytes of each event, in order, by system call."""
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(SystemCall(event["system_call"]).name, []).append(int(event["bytes"]))
    return found


def assert_side(events: Events, run: Run, mine: dict[str, Any], peer: dict[str, Any], role: Role) -> None:
    """Every event names this socket, its process and both ends."""
    assert set(events["process"]) == {run.process}
    assert set(events["thread"]) == {run.process}
    assert set(events["descriptor"]) == {mine["descriptor"]}
    assert set(events["protocol"]) == {6}
    assert set(events["role"]) == {role}
    assert {bytes(command).rstrip(b"\0")[:6] for command in events["command"]} == {b"python"}
    local, remote = plain(mine["local"]), plain(peer["local"])
    assert {(address(e["local_address"]), int(e["local_port"])) for e in events} == {local}
    assert {(address(e["remote_address"]), int(e["remote_port"])) for e in events} == {remote}
    assert np.all(events["start_ns"] > 0)
    assert np.all(events["end_ns"] > events["start_ns"])
    assert np.all(events["start_ns"][1:] >= events["end_ns"][:-1])


def plain(pair: list[Any]) -> tuple[str, int]:
    host, port = pair
    return host.removeprefix("::ffff:"), port


@pytest.mark.parametrize("host", HOSTS)
def test_every_call_with_its_bytes_and_addresses(watch: Watch, host: str) -> None:
    run = watch.run("transfers", host=host, sizes=SIZES)
    client, server = run.result["client"], run.result["server"]
    assert set(run.result["wrote"]) | set(run.result["read"]) == {call.name for call in SystemCall} - {"NONE"}
    assert all(sizes == SIZES for sizes in (*run.result["wrote"].values(), *run.result["read"].values()))

    wrote = run.of_socket(client["inode"], EventKind.WRITE)
    read = run.of_socket(client["inode"], EventKind.READ)
    assert by_call(wrote) == run.result["wrote"]
    assert by_call(read) == run.result["read"]
    assert_side(wrote, run, client, server, Role.CLIENT)
    assert_side(read, run, client, server, Role.CLIENT)

    received = run.of_socket(server["inode"], EventKind.READ)
    sent = run.of_socket(server["inode"], EventKind.WRITE)
    assert int(received["bytes"].sum()) == sum(SIZES) * len(run.result["wrote"])
    assert int(sent["bytes"].sum()) == sum(SIZES) * len(run.result["read"])
    assert_side(received, run, server, client, Role.SERVER)
    assert_side(sent, run, server, client, Role.SERVER)
    assert len(run.of(EventKind.READ, EventKind.WRITE)) == len(wrote) + len(read) + len(received) + len(sent)


def test_a_namespace_is_that_of_the_process(watch: Watch) -> None:
    run = watch.run("transfers", host="127.0.0.1", sizes=[1, 2])
    assert set(run.of(EventKind.READ, EventKind.WRITE)["network_namespace"]) == {
        Path("/proc/self/ns/net").stat().st_ino
    }


def test_what_moves_no_payload_makes_no_event(watch: Watch) -> None:
    run = watch.run("nothing_moved", host="127.0.0.1")
    assert run.result == {"looked": 10, "got": 5, "ended": 0}
    assert by_call(run.of(EventKind.READ, EventKind.WRITE)) == {"SENDTO": [5], "RECVFROM": [5]}


def test_files_pipes_and_other_sockets_never_appear(watch: Watch) -> None:
    run = watch.run("others")
    assert run.result["bytes"] > 40
    assert set(run.events["kind"]) == {EventKind.PROCESS_EXIT}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connected_udp(watch: Watch, host: str) -> None:
    run = watch.run("udp_connected", host=host)
    client, server = run.result["client"], run.result["server"]
    wrote = run.of_socket(client["inode"], EventKind.WRITE)
    assert by_call(wrote) == {"SENDTO": [5], "WRITE": [7], "SENDMMSG": [7]}
    assert set(wrote["protocol"]) == {17}
    assert set(wrote["role"]) == {Role.CLIENT}
    assert {(address(e["local_address"]), int(e["local_port"])) for e in wrote} == {tuple(client["local"])}
    assert {(address(e["remote_address"]), int(e["remote_port"])) for e in wrote} == {tuple(server["local"])}
    read = run.of_socket(server["inode"], EventKind.READ)
    # The server is not connected: each message of its recvmmsg is an event.
    assert by_call(read) == {"RECVFROM": [5, 7], "RECVMMSG": [3, 4]}
    assert set(read["role"]) == {Role.SERVER}
    assert {(address(e["local_address"]), int(e["local_port"])) for e in read} == {tuple(server["local"])}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_unconnected_udp_names_the_peer_of_each_message(watch: Watch, host: str) -> None:
    run = watch.run("udp_unconnected", host=host)
    client, (first, second) = run.result["client"], run.result["servers"]
    wrote = run.of_socket(client["inode"], EventKind.WRITE)
    ports = [first["local"][1], second["local"][1]]
    assert [
        (SystemCall(e["system_call"]).name, int(e["bytes"]), address(e["remote_address"]), int(e["remote_port"]))
        for e in wrote
    ] == [
        ("SENDTO", 5, host, ports[0]),
        ("SENDMSG", 7, host, ports[1]),
        ("SENDMMSG", 3, host, ports[0]),
        ("SENDMMSG", 4, host, ports[1]),
        ("SENDMMSG", 5, host, ports[0]),
    ]
    assert set(wrote["local_port"]) == {client["local"][1]}
    reads = [
        (SystemCall(e["system_call"]).name, int(e["bytes"]), address(e["remote_address"]), int(e["remote_port"]))
        for e in run.of(EventKind.READ)
    ]
    port = client["local"][1]
    assert reads == [
        ("RECVFROM", 5, host, port),
        ("RECVMSG", 7, host, port),
        ("READ", run.result["unnamed"], address(bytes(16)) if host == "::1" else "0.0.0.0", 0),
        ("RECVMMSG", run.result["many"][0], host, port),
        ("RECVMMSG", run.result["many"][1], host, port),
    ]


def test_parallel_threads(watch: Watch) -> None:
    threads, exchanges, size = 23, 41, 1009
    run = watch.run("parallel", threads=threads, exchanges=exchanges, size=size)
    assert len(run.result["inodes"]) == threads
    for inode, port in run.result["inodes"]:
        mine = run.of_socket(inode)
        assert set(mine["local_port"]) == {port}
        assert len(set(mine["thread"])) == 1
        wrote, read = mine[mine["kind"] == EventKind.WRITE], mine[mine["kind"] == EventKind.READ]
        assert len(wrote) == exchanges
        assert (int(wrote["bytes"].sum()), int(read["bytes"].sum())) == (exchanges * size, exchanges * size)
        server = run.events[(run.events["remote_port"] == port) & (run.events["kind"] == EventKind.READ)]
        assert int(server["bytes"].sum()) == exchanges * size
    assert len(run.of(EventKind.CONNECT)) == len(run.of(EventKind.ACCEPT)) == threads
    assert len(run.of(EventKind.CLOSE)) == 2 * threads


def test_multipath_tcp_is_tcp(watch: Watch) -> None:
    run = watch.run("multipath")
    if not run.result:
        pytest.skip("this kernel has no multipath TCP")
    client, server = run.result["client"], run.result["server"]
    kinds = [EventKind(kind).name for kind in run.of_socket(client["inode"])["kind"]]
    assert kinds == ["CONNECT", "WRITE", "CLOSE"]
    kinds = [EventKind(kind).name for kind in run.of_socket(server["inode"])["kind"]]
    assert kinds == ["ACCEPT", "READ", "CLOSE"]
    moved = run.of(EventKind.READ, EventKind.WRITE)
    assert set(moved["bytes"]) == {run.result["sent"]} == {run.result["received"]} == {9}
    assert set(moved["protocol"]) == {6}
    assert {int(event["local_port"]) for event in moved} == {client["local"][1], server["local"][1]}
