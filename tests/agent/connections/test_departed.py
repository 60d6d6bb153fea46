"""Processes that are no more are forgotten, also when the kernel side has not told of their end."""

from functools import partial

from agent.connections.departed import PERIOD_NS, DepartedProcesses
from agent.discovery.processes import Process
from agent.events.layout import EventKind
from tests.agent.synthetic import TCP, World, address, event, facts

K = EventKind


def seen(world: World, *processes: int) -> list[Process]:
    for pid in processes:
        world.track(event(K.ACCEPT, process=pid, inode=pid))
    return [process for pid in processes if (process := world.registry.processes.known(pid)) is not None]


def known(world: World) -> list[int]:
    return sorted(process.pid for process in world.registry.processes.present())


def walk(world: World, departed: DepartedProcesses, calls: int = 2) -> None:
    for _ in range(calls):
        departed.tick(world.now_ns)


def until_due(world: World, departed: DepartedProcesses, pids: list[int]) -> None:
    """Processes that are there, until a walk over them is due."""
    world.host.processes = {pid: facts(pid) for pid in pids}
    seen(world, *pids)
    walk(world, departed)
    world.now_ns += PERIOD_NS


def test_a_process_that_has_ended_or_whose_id_is_another_ones_is_forgotten_and_others_stay() -> None:
    world = World()
    departed = DepartedProcesses(world.registry, world.host)
    world.host.processes = {pid: facts(pid) for pid in (100, 101, 102)}
    seen(world, 100, 101, 102)
    walk(world, departed)
    world.host.processes = {100: facts(100), 101: facts(101, start=2)}
    world.host.asked.clear()
    world.now_ns += PERIOD_NS - 1
    walk(world, departed)
    assert (known(world), world.host.asked) == ([100, 101, 102], [])
    world.now_ns += 1
    walk(world, departed)
    assert known(world) == [100]


def test_a_process_that_was_gone_before_it_was_read_is_forgotten() -> None:
    """As one that was excluded while events of before were on their way: there is no event of its end."""
    world = World()
    departed = DepartedProcesses(world.registry, world.host)
    walk(world, departed)
    [process] = seen(world, 100)
    assert process.facts is None
    world.now_ns += PERIOD_NS
    walk(world, departed)
    assert known(world) == []


def test_nobody_listens_any_more_where_a_departed_process_did() -> None:
    world = World()
    departed = DepartedProcesses(world.registry, world.host)
    walk(world, departed)
    [process] = seen(world, 100)
    listener = partial(world.owners.listener, 1, TCP, address("127.0.0.1"), 40000)
    assert listener() is process
    world.now_ns += PERIOD_NS
    walk(world, departed)
    assert listener() is None


def test_a_walk_asks_of_a_few_at_a_time_and_of_each_once() -> None:
    world = World()
    departed = DepartedProcesses(world.registry, world.host)
    pids = list(range(100, 150))
    until_due(world, departed, pids)
    world.host.asked.clear()
    asked = []
    for _ in range(50):
        departed.tick(world.now_ns)
        asked.append(len(world.host.asked))
    assert max(later - earlier for earlier, later in zip([0, *asked], asked, strict=False)) == 16
    assert sorted(world.host.asked) == sorted(f"process {pid}" for pid in pids)


def test_one_that_has_left_during_a_walk_is_not_asked_of() -> None:
    world = World()
    departed = DepartedProcesses(world.registry, world.host)
    pids = list(range(100, 140))
    until_due(world, departed, pids)
    departed.tick(world.now_ns)
    for pid in pids:
        world.track(event(K.PROCESS_EXIT, process=pid))
    world.host.asked.clear()
    walk(world, departed, calls=10)
    assert world.host.asked == []
