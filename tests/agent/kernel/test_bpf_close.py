"""bpf/close.c and bpf/process.c on the running kernel."""

import json

import pytest

from agent.events.layout import EventFlag, EventKind
from tests.agent.kernel.watching import Watch
from tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel


def test_each_descriptor_once_and_no_listener(watch: Watch) -> None:
    run = watch.run("connections", host="127.0.0.1", count=23)
    closes = run.of(EventKind.CLOSE)
    assert len(closes) == 46
    for pair in run.result["made"]:
        for side in pair.values():
            (event,) = run.of_socket(side["inode"], EventKind.CLOSE)
            assert (event["descriptor"], event["result"]) == (side["descriptor"], 0)
            assert event["flags"] == EventFlag.LAST_REFERENCE
            assert event["local_port"] == side["local"][1]


def test_copies_replacements_and_ranges(watch: Watch) -> None:
    run = watch.run("closings")
    copied, replaced, ranged = (run.result[name] for name in ("copied", "replaced", "ranged"))
    closes = run.of_socket(copied["inode"], EventKind.CLOSE)
    assert [(e["descriptor"], e["flags"]) for e in closes] == [
        (copied["copy"], 0),
        (copied["descriptor"], EventFlag.LAST_REFERENCE),
    ]
    (replacement,) = run.of_socket(replaced["inode"], EventKind.CLOSE)
    assert (replacement["descriptor"], replacement["result"]) == (replaced["descriptor"], 0)
    assert replacement["flags"] == EventFlag.LAST_REFERENCE
    (wide,) = run.of(EventKind.CLOSE_RANGE)
    assert (wide["descriptor"], wide["result"]) == (ranged["high"], 2**31 - 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_whose_connect_failed_is_closed_like_any_other(watch: Watch, host: str) -> None:
    run = watch.run("refused", host=host, blocking=True)
    (event,) = run.of_socket(run.result["inode"], EventKind.CLOSE)
    assert event["descriptor"] == run.result["descriptor"]


def test_the_end_of_a_process_is_one_event_and_the_last(watch: Watch) -> None:
    run = watch.run("left_open", host="127.0.0.1")
    assert list(run.events["kind"]).count(EventKind.PROCESS_EXIT) == 1
    assert run.events["kind"][-1] == EventKind.PROCESS_EXIT
    assert len(run.of_socket(run.result["client"]["inode"], EventKind.CLOSE)) == 0


def test_threads_that_end_make_no_event(watch: Watch) -> None:
    run = watch.run("threads_end", count=23)
    assert list(run.events["kind"]) == [EventKind.PROCESS_EXIT]


def test_a_killed_process_ends_once(watch: Watch) -> None:
    with watch.started("killed") as child:
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        assert child.wait(PATIENCE) == -9
    events = watch.until_exit(child.pid)
    assert list(events["kind"]).count(EventKind.PROCESS_EXIT) == 1
    assert events["kind"][-1] == EventKind.PROCESS_EXIT
    assert EventKind.CONNECT in events[events["inode"] == said["client"]["inode"]]["kind"]
