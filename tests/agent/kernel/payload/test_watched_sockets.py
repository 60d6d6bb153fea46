"""bpf/payload*.c on the running kernel: of which sockets payload is captured, until when, and what is counted."""

import struct
from pathlib import Path
from typing import Any

import pytest

from agent.events.fragments import ConversationProtocol
from agent.events.layout import EventKind
from agent.kernel import bpf_maps
from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from tests.agent.kernel.payload.spoken import DETECTION_CALLS, request, ways
from tests.agent.kernel.watching import ATTACH, Watch
from tests.waiting import until

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("opening", [b"\0\1\2\3", b"220 mail ESMTP\r\n", b"EHLO there\r\n", b"\x16\x03\x01\x02\0\1"])
def test_of_other_protocols_nothing_is_captured(watch: Watch, tmp_path: Path, opening: bytes) -> None:
    """Also not when something that looks like HTTP comes later."""
    data = opening.ljust(20, b"\0") * DETECTION_CALLS + request(100)
    path = tmp_path / "stream"
    path.write_bytes(data)
    run = watch.run("speak", path=str(path), writes=ways(["WRITE"], 20), reads=ways(["READ"], 20))
    captured = [one for one in watch.source.take_payload() if one.process == run.process]
    assert [one.data for one in captured if one.length] == []
    is_tls = opening[0] == 0x16
    assert {one.protocol for one in captured} == ({ConversationProtocol.TLS} if is_tls else set())


def test_detection_goes_on_for_a_few_calls(watch: Watch, tmp_path: Path) -> None:
    late = b"\0" * 20 * (DETECTION_CALLS - 1)
    data = late + request(100)
    path = tmp_path / "stream"
    path.write_bytes(data)
    writes = [["WRITE", len(late) // (DETECTION_CALLS - 1)]] * (DETECTION_CALLS - 1) + [["WRITE", 1_000]]
    run = watch.run("speak", path=str(path), writes=writes, reads=ways(["READ"], 1_000))
    written = [
        one
        for one in watch.source.take_payload()
        if one.process == run.process and one.inode == run.result["client"]["inode"]
    ]
    assert b"".join(one.data for one in written) == request(100)


def value_of(table: int, key: int) -> bytes | None:
    """What a map behind a descriptor has under a number."""
    return bpf_maps.lookup(table, struct.pack("=Q", key), bpf_maps.map_information(table).value_bytes)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_muted_connection_is_captured_no_more(watch: Watch, tmp_path: Path, *, is_late: bool) -> None:
    """But one that has the struct sock of an earlier one is, where that is muted too late."""
    data = request(10, "/a") + request(10, "/b")
    path = tmp_path / "stream"
    path.write_bytes(data)
    half = len(data) // 2
    arguments: dict[str, Any] = {
        "path": str(path),
        "writes": [["WRITE", half]],
        "reads": [["READ", half]],
        "stops": True,
    }
    with watch.started("speak", **arguments) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "part\n"
        first = [one for one in watch.source.take_payload() if one.process == child.pid]
        assert {one.kind for one in first} == {EventKind.READ, EventKind.WRITE}
        for one in first:
            watch.source.mute(one.socket, one.inode - is_late)
        child.stdin.write("on\n")
        child.stdin.flush()
        child.stdout.read()
        child.wait()
    assert len(watch.until_exit(child.pid)) > 4
    rest = [one.data for one in watch.source.take_payload() if one.process == child.pid and one.length]
    assert rest == ([data[half:]] * 2 if is_late else [])
    # No mute waits for whoever is next.
    muted = watch.source.loaded.maps["muted_sockets"]
    assert [value_of(muted, one.socket) for one in first] == [None] * len(first)


@pytest.mark.parametrize("reuses", [False, True])
def test_a_call_whose_socket_is_gone_at_its_exit_is_counted(watch: Watch, tmp_path: Path, *, reuses: bool) -> None:
    """As where another thread has closed it within that moment, and maybe another socket is at its place already.

    The moment is made here: what is known of the socket is taken away, or given to another one, during the call.
    """
    data = request(10, "/a") + request(10, "/b")
    path = tmp_path / "stream"
    path.write_bytes(data)
    maps = watch.source.loaded.maps
    cut = watch.source.incomplete()["payload_cut"]
    with watch.started("read_before_it_is_sent", path=str(path)) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        reader = int(child.stdout.readline())
        first = [one for one in watch.source.take_payload() if one.process == child.pid]
        (socket,) = (one.socket for one in first if one.kind == EventKind.READ)
        key_of_reader = child.pid << 32 | reader
        until(lambda: value_of(maps["transfers"], key_of_reader) is not None, "the thread is in its read")
        known = value_of(maps["watched_sockets"], socket)
        assert known is not None
        key = struct.pack("=Q", socket)
        if reuses:  # the inode is the first field of struct watched
            bpf_maps.update(maps["watched_sockets"], key, struct.pack("=Q", 1) + known[8:])
        else:
            bpf_maps.delete(maps["watched_sockets"], key)
        child.stdin.write("on\n")
        child.stdin.flush()
        assert child.stdout.read()
        child.wait()
    events = watch.until_exit(child.pid)
    assert events[events["kind"] == EventKind.READ]["bytes"].tolist() == [len(data) // 2] * 2
    second = [one for one in watch.source.take_payload() if one.process == child.pid]
    assert {one.kind for one in second} == {EventKind.WRITE}
    assert watch.source.incomplete()["payload_cut"] == cut + 1


def test_a_full_ring_costs_payload_alone_and_is_counted(tmp_path: Path) -> None:
    data = request(30_000)
    path = tmp_path / "stream"
    path.write_bytes(data)
    with KernelSource.open(attach=ATTACH, only_processes=(), options=Options(payload_bytes=4096)) as source:
        run = Watch(source).run("speak", path=str(path), writes=ways(["WRITE"], 3_000), reads=ways(["READ"], 3_000))
        written = run.of_socket(run.result["client"]["inode"], EventKind.WRITE)
        assert int(written["bytes"].sum()) == len(data)
        kept = [one for one in source.take_payload() if one.process == run.process]
        lost = source.incomplete()["payload_full"]
    calls = -(-len(data) // 3_000)
    assert len(kept) + lost == 2 * calls
    assert lost > 0


def test_without_the_end_of_sockets_nothing_is_captured_and_that_is_said(tmp_path: Path) -> None:
    with KernelSource.open(attach=ATTACH, only_processes=(), unavailable={"tcp_destroy"}) as source:
        assert "protocolLog" in source.coverage.lost
        path = tmp_path / "stream"
        path.write_bytes(request(100))
        run = Watch(source).run("speak", path=str(path), writes=ways(["WRITE"], 50), reads=ways(["READ"], 50))
        assert len(run.of(EventKind.READ, EventKind.WRITE)) > 4
        assert source.take_payload() == []
