import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.connections.logs import quality_of_supplements
from agent.connections.state import ViewState
from agent.connections.view import endpoint
from agent.events.layout import EventFlag, EventKind, Role
from tests.agent.synthetic import SECOND, UDP, World, address, event, events, facts, quality, released

K = EventKind


def test_a_connection_from_connect_to_close_in_one_batch() -> None:
    world = World()
    tracked = world.track(
        event(K.CONNECT, at=100),
        event(K.WRITE, at=200, size=5, system_call=18),
        event(K.READ, at=300, size=7, system_call=3),
        released(at=400),
    )
    logs = tracked.logs
    assert logs["kind"].tolist() == [K.CONNECT, K.WRITE, K.READ, K.CLOSE]
    assert logs["start_ns"].tolist() == [100, 200, 300, 400]
    assert logs["end_ns"].tolist() == [110, 210, 310, 410]
    assert logs["stages"]["package_bytes"].tolist() == [0, 5, 7, 0]
    assert logs["system_call"].tolist() == [0, 18, 3, 0]
    assert logs["success"].all()
    (view,) = tracked.views.values()
    assert set(logs["view"].tolist()) == {view.number}
    assert view.state is ViewState.ENDED
    assert view.role is Role.CLIENT
    assert (view.local, view.remote) == (endpoint(address("127.0.0.1"), 40000), endpoint(address("127.0.0.1"), 80))


def test_one_event_per_batch_gives_the_same_logs_as_all_at_once() -> None:
    stream = [
        event(K.ACCEPT, process=7, inode=5, descriptor=4),
        event(K.READ, process=7, inode=5, descriptor=4, size=1),
        event(K.CONNECT, inode=6),
        event(K.WRITE, process=7, inode=5, descriptor=4, size=2),
        released(inode=6),
        event(K.PROCESS_EXIT, process=7),
    ]
    single = World()
    one_by_one = np.concatenate([single.track(one).logs for one in stream])
    assert one_by_one.tolist() == World().track(*stream).logs.tolist()


def test_a_failed_connect_is_reported_and_its_close_is_not() -> None:
    world = World()
    assert world.kinds(event(K.CONNECT, result=-111), released()) == ["connect!"]
    assert world.registry.information == {"close of a connection that never was or has ended": 1}


def test_a_socket_that_connects_at_the_second_attempt_is_closed_once() -> None:
    assert World().kinds(event(K.CONNECT, result=-111), event(K.CONNECT), released()) == [
        "connect!",
        "connect",
        "close",
    ]


def test_a_close_that_returned_an_error_is_reported_as_failed() -> None:
    assert World().kinds(event(K.ACCEPT), released(result=-5)) == ["accept", "close!"]


def test_a_close_of_a_socket_never_seen_in_that_process_is_information() -> None:
    world = World()
    world.track(event(K.ACCEPT, process=1))
    assert world.kinds(event(K.CLOSE, process=2)) == []  # inherited by a child that does not use it
    assert world.registry.information == {"close of an inherited or unconnected socket": 1}
    assert world.kinds(released(process=1)) == ["close"]


def test_a_connection_that_is_first_seen_by_a_transfer_has_the_role_of_the_event() -> None:
    tracked = World().track(event(K.READ, role=Role.SERVER, size=3))
    (view,) = tracked.views.values()
    assert view.role is Role.SERVER


def test_each_close_of_a_duplicated_descriptor_is_a_log_and_the_last_one_ends_the_view() -> None:
    world = World()
    world.track(event(K.ACCEPT, descriptor=3), event(K.READ, descriptor=4, size=1))
    assert world.kinds(event(K.CLOSE, descriptor=3)) == ["close"]
    assert not world.registry.closing
    assert world.kinds(event(K.READ, descriptor=4, size=1)) == ["read"]
    assert world.kinds(released(descriptor=4)) == ["close"]
    assert world.table.live == 0


def test_the_last_known_descriptor_closed_while_another_one_is_not_known_of() -> None:
    world = World()
    world.track(event(K.ACCEPT, descriptor=3))
    assert world.kinds(event(K.CLOSE, descriptor=3)) == ["close"]
    assert len(world.registry.closing) == 1
    assert world.kinds(released(descriptor=9)) == ["close"]
    assert not world.registry.closing


def test_a_process_that_exits_closes_what_it_has_open_at_that_moment() -> None:
    world = World()
    world.track(event(K.ACCEPT, inode=1, descriptor=3), event(K.ACCEPT, inode=2, descriptor=4))
    world.track(event(K.CONNECT, inode=3, descriptor=5, result=-110), event(K.ACCEPT, process=2, inode=4))
    logs = world.track(event(K.PROCESS_EXIT, at=5000, end=6000)).logs
    assert logs["kind"].tolist() == [K.CLOSE, K.CLOSE]
    assert logs["start_ns"].tolist() == logs["end_ns"].tolist() == [6000, 6000]
    assert logs["success"].all()
    assert world.table.live == 1  # the other process's


def test_close_range_closes_the_views_whose_descriptors_it_covers() -> None:
    world = World()
    for descriptor in (3, 4, 5, 6):
        world.track(event(K.ACCEPT, inode=descriptor, descriptor=descriptor))
    logs = world.track(event(K.CLOSE_RANGE, descriptor=4, result=5, at=70, end=90)).logs
    assert logs["kind"].tolist() == [K.CLOSE] * 2
    assert logs["start_ns"].tolist() == [70, 70]
    assert logs["end_ns"].tolist() == [90, 90]
    assert len(world.track(event(K.CLOSE_RANGE, descriptor=3, result=-1)).logs) == 2  # up to the last descriptor


def test_a_transfer_that_ends_after_the_close_belongs_to_the_closed_connection() -> None:
    world = World()
    before = world.track(event(K.ACCEPT), released())
    after = world.track(event(K.READ, size=1))
    assert set(after.logs["view"].tolist()) == set(before.views)
    assert world.table.live == 0


def test_an_inode_used_again_within_a_batch_splits_the_transfers() -> None:
    world = World()
    tracked = world.track(
        event(K.ACCEPT, remote=("10.0.0.1", 1)),
        event(K.READ, size=1, remote=("10.0.0.1", 1)),
        released(remote=("10.0.0.1", 1)),
        event(K.ACCEPT, remote=("10.0.0.2", 2)),
        event(K.READ, size=2, remote=("10.0.0.2", 2)),
        released(remote=("10.0.0.2", 2)),
    )
    remotes = [tracked.views[number].remote for number in tracked.logs["view"].tolist()]
    assert remotes == [endpoint(address("10.0.0.1"), 1)] * 3 + [endpoint(address("10.0.0.2"), 2)] * 3
    assert tracked.logs["stages"]["package_bytes"].tolist() == [0, 1, 0, 0, 2, 0]


def test_an_inode_used_again_after_a_close_that_was_missed() -> None:
    world = World()
    first = world.track(event(K.ACCEPT, remote=("10.0.0.1", 1)))
    second = world.track(event(K.READ, size=2, remote=("10.0.0.2", 2)))
    assert set(first.views).isdisjoint(second.views)
    assert world.table.live == 1
    assert world.registry.information == {"socket replaced without a close": 1}


def test_a_reset_connection_whose_local_port_is_gone_stays_the_same() -> None:
    world = World()
    first = world.track(event(K.ACCEPT))
    second = world.track(event(K.READ, size=2, local=("127.0.0.1", 0)))
    assert set(first.views) == set(second.views)


def test_an_unconnected_datagram_socket_is_a_view_per_remote_end_and_its_close_closes_each() -> None:
    world = World()
    tracked = world.track(
        event(K.WRITE, protocol=UDP, remote=("10.0.0.1", 53), size=1),
        event(K.WRITE, protocol=UDP, remote=("10.0.0.2", 53), size=2),
        event(K.READ, protocol=UDP, remote=("10.0.0.1", 53), size=3),
    )
    assert len(tracked.views) == 2
    numbers = tracked.logs["view"].tolist()
    assert numbers[0] == numbers[2] != numbers[1]
    assert world.kinds(released(protocol=UDP, remote=("0.0.0.0", 0))) == ["close", "close"]
    assert world.table.live == 0


def test_a_new_task_name_makes_the_agent_read_the_program_again() -> None:
    world = World()
    world.host.processes[100] = facts(100, "/bin/sh")
    view = next(iter(world.track(event(K.CONNECT, command=b"sh")).views.values()))
    assert view.process.identity.service == "sh"
    world.host.processes[100] = facts(100, "/usr/bin/curl")
    world.track(event(K.WRITE, size=1, command=b"curl"))
    assert view.process.identity.service == "curl"
    world.track(event(K.WRITE, size=1, command=b"curl"), event(K.WRITE, size=1, command=b"sh"))
    assert world.host.asked.count("process 100") == 2


def test_an_event_of_an_unknown_kind_is_counted() -> None:
    world = World()
    strange = event(K.CONNECT)
    strange["kind"] = 200
    assert world.kinds(strange) == []
    assert world.registry.information == {"event of an unknown kind": 1}


def test_an_empty_batch_gives_no_logs() -> None:
    assert len(World().track().logs) == 0


_EVENT = st.builds(
    event,
    st.sampled_from(list(K)),
    process=st.integers(1, 3),
    inode=st.integers(1, 4),
    descriptor=st.integers(3, 5),
    result=st.sampled_from([0, -111, 4]),
    size=st.integers(1, 9),
    remote=st.sampled_from([("10.0.0.1", 80), ("10.0.0.2", 81)]),
    protocol=st.sampled_from([6, 6, 17]),
    flags=st.sampled_from([0, EventFlag.LAST_REFERENCE]),
)


_SUPPLEMENTS = (K.LATE_READ, K.LATE_WRITE, K.QUALITY)


@settings(max_examples=300, deadline=None)
@given(stream=st.lists(_EVENT, max_size=40), cuts=st.lists(st.integers(0, 40), max_size=4), capacity=st.integers(1, 12))
def test_any_stream_keeps_every_transfer_and_stays_within_bounds(
    stream: list[np.ndarray], cuts: list[int], capacity: int
) -> None:
    world = World(capacity)
    edges = [0, *sorted(cuts), len(stream)]
    transfers = closes = said = known = 0
    for first, last in itertools.pairwise(edges):
        batch = events(*stream[first:last])
        tracked = world.tracker.process(batch, world.now_ns)
        logs = tracked.logs
        for kind in (K.READ, K.WRITE, K.CONNECT, K.ACCEPT):
            assert np.count_nonzero(logs["kind"] == kind) == np.count_nonzero(batch["kind"] == kind)
        transfers += int(logs["stages"]["package_bytes"][logs["kind"] == K.READ].sum())
        closes += int(np.count_nonzero(logs["kind"] == K.CLOSE))
        supplements = tracked.supplements
        assert {*logs["view"].tolist(), *supplements["view"].tolist()} == set(tracked.views)
        forgotten = sum(count for cause, count in world.registry.information.items() if "forgotten" in cause)
        said += int(np.count_nonzero(np.isin(batch["kind"], _SUPPLEMENTS)))
        known += len(supplements)
        assert known + forgotten == said
        assert len(world.table) <= capacity
        world.table.forget_ended(world.now_ns)
        _check_table(world)
    whole = events(*stream)
    assert transfers == int(whole["bytes"][whole["kind"] == K.READ].sum())


def _check_table(world: World) -> None:
    """The indexes of the table hold exactly the views that they should."""
    table = world.table
    views = list(table._views.values())
    live = {view.number for view in views if view.state is not ViewState.ENDED}
    assert {number for index in table._by_process.values() for number in index} == live
    assert sum(map(len, table._by_ends.values())) == len(views)
    assert set(table._ended) == {view.number for view in views} - live
    assert set(world.registry.closing) <= live


def test_what_the_stages_did_goes_along() -> None:
    counted = EventFlag.PACKAGES_COUNTED
    logs = (
        World()
        .track(
            event(K.CONNECT, l4_ns=900, round_trip_us=40),
            event(K.WRITE, size=7, flags=counted, packages=2, package_bytes=6, l4_ns=5, interface=3),
            event(K.WRITE, size=7, flags=counted),  # queued, and nothing left yet
            event(K.READ, size=9, l4_ns=4),  # without packages: none were counted
        )
        .logs
    )
    stages = logs["stages"]
    assert stages["packages"].tolist() == [0, 2, 0, 1]
    assert stages["package_bytes"].tolist() == [0, 6, 0, 9]
    assert stages["l4_ns"].tolist() == [900, 5, 0, 4]
    assert stages["interface"].tolist() == [0, 3, 0, 0]
    assert stages["round_trip_us"].tolist() == [40, 0, 0, 0]


def test_a_failed_connect_says_why() -> None:
    logs = World().track(event(K.CONNECT, result=-111), event(K.CONNECT), released(result=-5)).logs
    assert logs["error"].tolist() == [111, 0, 0]
    assert logs["success"].tolist() == [False, True, False]


def test_what_comes_before_its_connection_in_a_batch_is_not_lost() -> None:
    world = World()
    tracked = world.track(quality(segments_out=5), event(K.LATE_WRITE, packages=2), event(K.WRITE, size=1))
    assert tracked.supplements["view"].tolist() == [1, 1]
    assert tracked.supplements["kind"].tolist() == [K.QUALITY, K.LATE_WRITE]
    assert tracked.supplements["stages"]["packages"][1] == 2
    assert quality_of_supplements(tracked.supplements)["segments_out"][0] == 5
    assert tracked.logs["kind"].tolist() == [K.WRITE]


def test_what_comes_after_the_end_of_a_connection_belongs_to_it_for_a_while() -> None:
    world = World()
    (view,) = world.track(event(K.ACCEPT), released()).views.values()
    world.table.forget_ended(20 * SECOND)
    world.table.forget_ended(30 * SECOND)
    assert world.track(event(K.LATE_READ, descriptor=-1, packages=1)).views == {view.number: view}
    world.table.forget_ended(62 * SECOND)
    for late in (event(K.LATE_READ), event(K.LATE_WRITE), quality()):
        tracked = world.track(late)
        assert (len(tracked.logs), len(tracked.supplements), tracked.views) == (0, 0, {})
    assert world.registry.information == {
        "late packages read of a forgotten connection": 1,
        "late packages written of a forgotten connection": 1,
        "quality of a forgotten connection": 1,
    }


def test_late_packages_are_never_those_of_another_connection_of_the_socket() -> None:
    world = World()
    world.track(event(K.CONNECT, remote=("10.0.0.1", 80)))
    assert len(world.track(event(K.LATE_WRITE, remote=("10.0.0.2", 80), packages=1)).supplements) == 0
    assert world.registry.information["late packages written of a forgotten connection"] == 1
    assert len(world.track(event(K.LATE_WRITE, local=("10.0.0.1", 0), remote=("10.0.0.1", 80))).supplements) == 1
