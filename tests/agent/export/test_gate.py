import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.connections.logs import TrackedLogs
from agent.discovery.standing import Named, Standing
from agent.events.layout import EventKind
from agent.export.accounting import Ledger
from agent.export.gate import Gate
from tests.agent.synthetic import World, event, facts, quality

K = EventKind
PROCESSES = range(1, 5)


class Guarded:
    """A gate behind a tracker, and a process for each standing."""

    def __init__(self, capacity: int = 100) -> None:
        self.world, self.ledger = World(), Ledger()
        for pid in PROCESSES:
            self.world.host.processes[pid] = facts(pid)
        self.gate = Gate(self.ledger, lambda view: view.process.standing, capacity)

    def stand(self, pid: int, standing: Standing) -> None:
        self.world.processes.seen(pid, b"curl".ljust(16, b"\0")).named = Named(standing)

    def pass_writes(self, *pids: int) -> list[int]:
        """The processes of the logs that pass at once."""
        tracked = self.world.track(*[event(K.WRITE, process=pid, inode=pid, size=1) for pid in pids])
        self.ledger.capture(len(tracked.logs))
        return self.processes(self.gate.pass_logs(tracked))

    def processes(self, tracked: TrackedLogs) -> list[int]:
        return [tracked.views[number].process.pid for number in tracked.logs["view"].tolist()]

    def release(self) -> list[int]:
        return self.processes(self.gate.release()[0])


def test_each_log_goes_where_its_process_stands() -> None:
    guarded = Guarded()
    for pid, standing in zip(PROCESSES, Standing, strict=True):
        guarded.stand(pid, standing)
    assert guarded.pass_writes(1, 2, 3, 4, 1, 2) == [1, 1]
    assert guarded.gate.waiting == 2
    balance = guarded.ledger.balance()
    assert (balance.captured, dict(balance.lost), balance.waiting) == (5, {"pod_unknown": 1}, 4)


@pytest.mark.parametrize(
    ("later", "released", "captured", "lost"),
    [
        (Standing.TOLD, [2, 2], 2, {}),
        (Standing.LEFT_OUT, [], 0, {}),
        (Standing.UNKNOWN, [], 2, {"pod_unknown": 2}),
    ],
)
def test_what_waited_goes_where_its_process_stands_later(
    later: Standing, released: list[int], captured: int, lost: dict[str, int]
) -> None:
    guarded = Guarded()
    guarded.stand(2, Standing.AWAITED)
    assert guarded.pass_writes(2, 2) == guarded.release() == []
    assert guarded.gate.waiting == 2
    guarded.stand(2, later)
    assert guarded.release() == released
    assert guarded.gate.waiting == 0
    assert (guarded.ledger.balance().captured, dict(guarded.ledger.balance().lost)) == (captured, lost)


def test_more_than_may_wait_is_lost() -> None:
    guarded = Guarded(capacity=3)
    guarded.stand(2, Standing.AWAITED)
    guarded.pass_writes(2, 2)
    guarded.pass_writes(2, 2, 2)
    assert guarded.gate.waiting == 3
    assert dict(guarded.ledger.balance().lost) == {"pod_unknown": 2}
    guarded.gate.give_up()
    assert dict(guarded.ledger.balance().lost) == {"pod_unknown": 5}
    assert guarded.release() == []


def test_what_else_is_known_of_a_connection_waits_with_it_and_is_bounded() -> None:
    guarded = Guarded(capacity=2)
    guarded.stand(2, Standing.AWAITED)
    guarded.pass_writes(2)
    for _ in range(4):
        passed = guarded.gate.pass_logs(guarded.world.track(quality(process=2, inode=2, retransmits_fast=1)))
        assert len(passed.supplements) == 0
    guarded.stand(2, Standing.TOLD)
    released, _ = guarded.gate.release()
    assert (len(released.logs), len(released.supplements)) == (1, 2)
    assert set(released.supplements["view"].tolist()) <= set(released.views)


def test_where_everything_is_told_nothing_is_copied() -> None:
    guarded = Guarded()
    tracked = guarded.world.track(event(K.WRITE, process=1, size=1))
    assert guarded.gate.pass_logs(tracked) is tracked


@given(st.lists(st.sampled_from(list(Standing)), min_size=4, max_size=4), st.lists(st.sampled_from(PROCESSES)))
def test_every_log_is_somewhere(standings: list[Standing], pids: list[int]) -> None:
    guarded = Guarded(capacity=3)
    for pid, standing in zip(PROCESSES, standings, strict=True):
        guarded.stand(pid, standing)
    passed = guarded.pass_writes(*pids)
    assert passed == [pid for pid in pids if standings[pid - 1] is Standing.TOLD]
    balance = guarded.ledger.balance()
    left_out = sum(standings[pid - 1] is Standing.LEFT_OUT for pid in pids)
    assert balance.captured == len(pids) - left_out
    assert balance.waiting == len(passed) + guarded.gate.waiting
