from agent.connections.state import ViewInput, ViewState
from agent.events.layout import EventKind
from tests.agent.synthetic import SECOND, World, event, released

K = EventKind


def test_a_full_table_evicts_the_view_seen_longest_ago_and_counts_it() -> None:
    world = World(capacity=3)
    for inode in (1, 2, 3):
        world.track(event(K.ACCEPT, inode=inode, remote=("10.0.0.1", inode)))
    world.track(event(K.READ, inode=1, size=1, remote=("10.0.0.1", 1)))  # seen again: now 2 is the oldest
    world.track(event(K.ACCEPT, inode=4, remote=("10.0.0.1", 4)))
    assert world.table.evicted == 1
    assert [world.kinds(released(inode=inode)) for inode in (1, 2, 3, 4)] == [["close"], [], ["close"], ["close"]]


def test_ended_views_make_room_before_live_ones() -> None:
    world = World(capacity=3)
    world.track(event(K.ACCEPT, inode=1, remote=("10.0.0.1", 1)))
    for inode in range(2, 50):
        world.track(event(K.ACCEPT, inode=inode, remote=("10.0.0.1", inode)), released(inode=inode))
    assert world.table.evicted == 0
    assert world.kinds(released(inode=1)) == ["close"]


def test_an_evicted_view_is_not_looked_up_any_more() -> None:
    world = World(capacity=1)
    world.track(event(K.ACCEPT, inode=1), event(K.CLOSE, inode=1))
    assert len(world.registry.closing) == 1
    world.track(event(K.ACCEPT, inode=2))
    assert not world.registry.closing


def test_an_ended_view_stays_for_two_flushes_and_as_long_as_its_last_packages_may_take() -> None:
    world = World()
    (view,) = world.track(event(K.ACCEPT), released()).views.values()
    for second in (2, 3, 60):
        world.table.forget_ended(second * SECOND)
        assert list(world.table.between(view.local, view.remote)) == [view]
    world.table.forget_ended(61 * SECOND)
    assert list(world.table.between(view.local, view.remote)) == []
    assert len(world.table) == 0


def test_an_ended_view_stays_for_two_flushes_however_long_these_take() -> None:
    world = World()
    world.track(event(K.ACCEPT), released())
    world.table.forget_ended(100 * SECOND)
    assert len(world.table) == 1
    world.table.forget_ended(100 * SECOND)
    assert len(world.table) == 0


def test_only_some_ended_views_stay_longer_than_two_flushes() -> None:
    world = World(capacity=80)
    for inode in range(40):
        world.track(event(K.ACCEPT, inode=inode), released(inode=inode))
    world.table.forget_ended(2 * SECOND)
    assert len(world.table) == 40
    world.table.forget_ended(2 * SECOND)
    assert {view.inode for view in world.table._views.values()} == set(range(30, 40))


def test_a_view_is_touched_when_it_is_seen() -> None:
    world = World()
    (view,) = world.track(event(K.ACCEPT)).views.values()
    world.now_ns = 5 * SECOND
    world.track(event(K.READ, size=1))
    assert view.last_seen_ns == 5 * SECOND


def test_ending_a_view_twice_changes_nothing() -> None:
    world = World()
    (view,) = world.track(event(K.ACCEPT), released()).views.values()
    assert not world.registry.apply(view, ViewInput.RELEASED)
    assert view.state is ViewState.ENDED
    assert (world.table.live, len(world.table)) == (0, 1)
