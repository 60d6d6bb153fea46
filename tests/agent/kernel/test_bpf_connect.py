"""bpf/connect.c on the running kernel: every outcome, exactly once, with both ends."""

import errno
import os

import numpy as np
import pytest

from agent.events.layout import EventFlag, EventKind, Role
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Run, Watch, address

pytestmark = pytest.mark.kernel

HOSTS = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]


def plain(host: str) -> str:
    return host.removeprefix("::ffff:")


def the_connect(run: Run, inode: int) -> np.void:
    events = run.of_socket(inode, EventKind.CONNECT)
    assert len(events) == 1
    event: np.void = events[0]
    assert event["role"] == Role.CLIENT
    assert event["end_ns"] > event["start_ns"] > 0
    return event


@pytest.mark.parametrize("host", HOSTS)
def test_blocking_connects(watch: Watch, host: str) -> None:
    run = watch.run("connections", host=host, count=23)
    assert len(run.of(EventKind.CONNECT)) == 23
    for pair in run.result["made"]:
        event = the_connect(run, pair["client"]["inode"])
        assert (event["result"], event["flags"], event["protocol"]) == (0, 0, 6)
        assert (address(event["local_address"]), event["local_port"]) == (plain(host), pair["client"]["local"][1])
        assert (address(event["remote_address"]), event["remote_port"]) == (plain(host), pair["server"]["local"][1])
        assert event["descriptor"] == pair["client"]["descriptor"]
        assert event["process"] == run.process


@pytest.mark.parametrize("host", HOSTS)
def test_nonblocking_connects_and_asking_again(watch: Watch, host: str) -> None:
    run = watch.run("nonblocking", host=host, count=23)
    assert len(run.of(EventKind.CONNECT)) == 23
    for made in run.result["made"]:
        assert made["code"] == errno.EINPROGRESS
        assert made["again"] in (0, errno.EISCONN)
        event = the_connect(run, made["inode"])
        assert (event["result"], event["flags"]) == (0, EventFlag.NONBLOCKING)
        assert (address(event["local_address"]), event["local_port"]) == (plain(host), made["local"][1])
        assert (address(event["remote_address"]), event["remote_port"]) == (plain(host), made["remote"][1])


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a race needs two CPUs")
def test_at_most_one_event_whichever_comes_first_and_the_rest_is_counted(shared_source: KernelSource) -> None:
    before = shared_source.losses()
    run = Watch(shared_source).run("nonblocking_between_cpus", count=5003)
    connects = run.of(EventKind.CONNECT)
    assert len(set(connects["inode"])) == len(connects)
    assert set(connects["inode"]) <= set(run.result["inodes"])
    assert set(connects["result"]) == {0}
    assert set(connects["flags"]) == {EventFlag.NONBLOCKING}
    assert set(connects["network_namespace"]) == {run.result["namespace"]}
    assert len(connects) + shared_source.losses()["outcome_missed"] - before["outcome_missed"] == 5003


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("blocking", [True, False])
def test_refused(watch: Watch, host: str, blocking: bool) -> None:  # noqa: FBT001 # pytest gives it by name
    run = watch.run("refused", host=host, blocking=blocking)
    assert run.result["code"] == (errno.ECONNREFUSED if blocking else errno.EINPROGRESS)
    assert run.result["outcome"] == errno.ECONNREFUSED
    event = the_connect(run, run.result["inode"])
    assert event["result"] == -errno.ECONNREFUSED
    assert event["flags"] == (0 if blocking else EventFlag.NONBLOCKING)
    assert (address(event["remote_address"]), event["remote_port"]) == (plain(host), run.result["port"])
    assert address(event["local_address"]) == plain(host)
    assert event["local_port"] not in (0, run.result["port"])


def run_until_shown(source: KernelSource, name: str, **arguments: str | bool) -> Run:
    """Run a workload whose outcome comes from a timer, until the kernel shows the outcome.

    Timers run on top of whatever task is current. Hardened kernels may run no program while certain tasks are.
    """
    for _ in range(4):
        before = source.losses()["outcome_missed"]
        run = Watch(source).run(name, **arguments)
        connects = run.of_socket(run.result["inode"], EventKind.CONNECT)
        if len(connects) and connects[0]["local_port"]:
            return run
        assert len(connects) + source.losses()["outcome_missed"] - before == 1
    raise AssertionError("the outcome was missed four times in a row")


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_timed_out(shared_source: KernelSource, host: str, blocking: bool) -> None:  # noqa: FBT001 # pytest gives it by name
    run = run_until_shown(shared_source, "timed_out", host=host, blocking=blocking)
    assert run.result["outcome"] == errno.ETIMEDOUT
    event = the_connect(run, run.result["inode"])
    assert event["result"] == -errno.ETIMEDOUT
    assert event["flags"] == (0 if blocking else EventFlag.NONBLOCKING)
    assert (address(event["remote_address"]), event["remote_port"]) == (host, run.result["port"])
    assert address(event["local_address"]) == host
    assert event["local_port"] != 0


def test_abandoned(watch: Watch) -> None:
    run = watch.run("abandoned", host="127.0.0.1")
    assert run.result["code"] == errno.EINPROGRESS
    event = the_connect(run, run.result["inode"])
    assert (event["result"], event["flags"]) == (-errno.ECANCELED, EventFlag.NONBLOCKING)
    assert event["remote_port"] == run.result["port"]
    assert event["local_port"] != 0
    closes = run.of_socket(run.result["inode"], EventKind.CLOSE)
    assert len(closes) == 1


def test_interrupted_by_a_signal(shared_source: KernelSource) -> None:
    run = run_until_shown(shared_source, "interrupted", host="127.0.0.1")
    assert (run.result["code"], run.result["outcome"]) == (errno.EINTR, errno.ETIMEDOUT)
    event = the_connect(run, run.result["inode"])
    assert (event["result"], event["flags"]) == (-errno.ETIMEDOUT, EventFlag.NONBLOCKING)
    assert event["end_ns"] - event["start_ns"] > 200_000_000


def test_fails_before_a_packet_is_made(watch: Watch) -> None:
    run = watch.run("unreachable")
    assert run.result["code"] != 0
    event = the_connect(run, run.result["inode"])
    assert event["result"] == -run.result["code"]
    assert (address(event["remote_address"]), event["remote_port"]) == ("255.255.255.255", 9)


def test_udp(watch: Watch) -> None:
    run = watch.run("udp_connect_results")
    first, second = run.result["first"], run.result["second"]
    events = run.of(EventKind.CONNECT)
    assert [(e["result"], e["protocol"], address(e["remote_address"]), e["remote_port"]) for e in events] == [
        (0, 17, "127.0.0.1", 1234),
        (0, 17, "127.0.0.1", 4321),
        (-run.result["code"], 17, "255.255.255.255", 9),
    ]
    assert [e["local_port"] for e in events[:2]] == [first["local"][1], second["local"][1]]
    assert {address(e["local_address"]) for e in events[:2]} == {"127.0.0.1"}


def test_an_address_that_is_not_in_memory_yet(watch: Watch) -> None:
    run = watch.run("unseen_address")
    assert run.result["code"] == 0
    for kind in ("tcp", "udp"):
        event = the_connect(run, run.result[kind]["inode"])
        assert (address(event["remote_address"]), event["remote_port"]) == tuple(run.result[kind]["remote"])
        assert event["local_port"] == run.result[kind]["local"][1]
