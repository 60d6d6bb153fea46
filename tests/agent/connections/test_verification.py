from agent.connections.state import ViewState
from agent.connections.verification import IDLE_NS, Verification
from agent.events.layout import EventKind
from tests.agent.synthetic import World, event, released

K = EventKind


def _walk(world: World, verification: Verification) -> None:
    """Enough ticks for a whole walk and its verdicts."""
    for _ in range(len(world.table) // 16 + 4):
        verification.tick(world.now_ns)


def test_an_idle_view_whose_descriptor_is_gone_ends_without_a_log() -> None:
    world = World()
    verification = Verification(world.registry, world.host)
    (view,) = world.track(event(K.ACCEPT, descriptor=3, inode=8)).views.values()
    world.host.descriptors[100] = {3: 99}  # dup2 put another socket in its place
    world.now_ns += 2 * IDLE_NS
    _walk(world, verification)
    assert view.state is ViewState.ENDED
    assert world.registry.information == {"connection gone without a close": 1}
    assert world.kinds(released(inode=8)) == []


def test_an_idle_view_that_is_still_there_stays() -> None:
    world = World()
    verification = Verification(world.registry, world.host)
    (view,) = world.track(event(K.ACCEPT, descriptor=3, inode=8)).views.values()
    world.host.descriptors[100] = {3: 8}
    world.now_ns += 2 * IDLE_NS
    _walk(world, verification)
    assert view.state is ViewState.OPEN
    assert world.host.asked == ["process 100", "socket_inode 100 3"]


def test_a_view_that_was_seen_lately_is_not_looked_up() -> None:
    world = World()
    verification = Verification(world.registry, world.host)
    world.track(event(K.ACCEPT))
    world.now_ns += IDLE_NS - 1
    _walk(world, verification)
    assert world.host.asked == ["process 100"]


def test_a_view_whose_known_descriptors_are_closed_and_that_lives_on_is_found_by_another() -> None:
    world = World()
    verification = Verification(world.registry, world.host)
    (view,) = world.track(event(K.ACCEPT, descriptor=3, inode=8), event(K.CLOSE, descriptor=3, inode=8)).views.values()
    world.host.descriptors[100] = {7: 8, 9: 8}
    verification.tick(world.now_ns)
    assert view.state is ViewState.OPEN
    assert view.descriptors == (7, 9)
    assert world.kinds(event(K.CLOSE, descriptor=7, inode=8), released(descriptor=9, inode=8)) == ["close", "close"]


def test_a_close_that_was_on_its_way_while_the_host_was_asked_is_still_reported() -> None:
    world = World()
    verification = Verification(world.registry, world.host)
    world.track(event(K.ACCEPT, descriptor=3, inode=8), event(K.CLOSE, descriptor=3, inode=8))
    world.host.descriptors[100] = {}  # the other descriptor is closed as well, but its event has not been taken yet
    verification.tick(world.now_ns)
    assert world.kinds(released(descriptor=4, inode=8)) == ["close"]
    verification.tick(world.now_ns)
    assert not world.registry.information


def test_a_view_that_is_handed_to_a_child_and_closed_ends_at_the_next_but_one_look() -> None:
    world = World()
    verification = Verification(world.registry, world.host)
    (view,) = world.track(event(K.ACCEPT, inode=8), event(K.CLOSE, inode=8)).views.values()
    world.host.descriptors[100] = {}
    states = []
    for _ in range(2):
        verification.tick(world.now_ns)
        states.append(view.state)
    assert states == [ViewState.CLOSING, ViewState.ENDED]
    assert not world.registry.closing
    assert not world.registry.information  # its close was reported; nothing is missing


def test_a_tick_asks_a_bounded_number_of_questions_and_every_view_gets_its_turn() -> None:
    world = World(capacity=5000)
    verification = Verification(world.registry, world.host)
    for process in range(1, 1001):
        world.track(event(K.ACCEPT, process=process, inode=process, remote=("10.0.0.1", process)))
        world.host.descriptors[process] = {}
    world.now_ns += 2 * IDLE_NS
    world.host.asked.clear()
    verification.tick(world.now_ns)
    assert len([asked for asked in world.host.asked if asked.startswith("socket_inode ")]) <= 128
    assert len([asked for asked in world.host.asked if asked.startswith("socket_descriptors ")]) <= 4
    for _ in range(20_000):
        if not world.table.live:
            break
        world.now_ns += IDLE_NS // 100
        verification.tick(world.now_ns)
    assert world.table.live == 0


def test_views_of_processes_that_are_gone_end_in_one_walk() -> None:
    """However many they are: nothing has to be listed of these."""
    world = World(capacity=5000)
    verification = Verification(world.registry, world.host)
    for process in range(1, 1001):
        world.track(event(K.ACCEPT, process=process, inode=process, remote=("10.0.0.1", process)))
    world.now_ns += 2 * IDLE_NS
    for _ in range(1000 // 128 + 3):
        verification.tick(world.now_ns)
    assert world.table.live == 0
