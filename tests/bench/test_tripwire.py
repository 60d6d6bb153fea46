"""Counted costs of messages and of kernel programs: a test fails when one doubles, however busy the machine is.

After a change that is meant to cost something else: `python -m tests.bench.costs` writes expected_costs.json again.
"""

import pytest

from agent.connections.logs import TrackedLogs
from agent.connections.tracker import Tracker
from agent.events.layout import Events
from agent.kernel.source import KernelSource
from tests.bench.costs import WORK, changed, costs_of, expected, kernel_name, verified
from tests.e2e.programs import ATTACH


def test_the_table_has_what_is_counted() -> None:
    assert list(expected()["work"]) == list(WORK)


@pytest.mark.parametrize("work", WORK)
def test_what_a_message_costs_has_not_doubled(work: str) -> None:
    assert changed(expected()["work"][work], costs_of(work)) == {}


@pytest.mark.kernel
def test_what_the_verifier_looks_at_has_not_doubled() -> None:
    with KernelSource.open(attach=ATTACH, only_processes=()) as source:
        name, found = kernel_name(source), verified(source)
    table = expected()["verified"]
    if name not in table:
        pytest.skip(f"no numbers for {name}: `python -m tests.bench.costs` writes them")
    assert changed(table[name], found) == {}


def test_twice_and_half_are_changes_and_so_is_what_comes_and_goes() -> None:
    before = {"doubled": 100.0, "nearly": 100.0, "halved": 100.0, "gone": 100.0, "small": 3.0}
    now = {"doubled": 200.0, "nearly": 199.0, "halved": 50.0, "new": 100.0, "small": 9.0}
    assert changed(before, now) == {
        "doubled": "expected 100.0, found 200.0",
        "halved": "expected 100.0, found 50.0",
        "gone": "expected 100.0, found None",
        "new": "expected None, found 100.0",
    }


def test_a_loop_over_events_in_python_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    work = "agent: an event of 1,000 a look"
    process = Tracker.process

    def slow(self: Tracker, events: Events, now_ns: int) -> TrackedLogs:
        for event in events:
            for name in 2 * event.dtype.names:
                hash(name)
        return process(self, events, now_ns)

    monkeypatch.setattr(Tracker, "process", slow)
    assert changed(expected()["work"][work], costs_of(work)).keys() == {"bytecodes", "calls"}
