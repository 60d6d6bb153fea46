from agent.discovery.host import SocketScan
from agent.events.layout import EventKind
from tests.agent.synthetic import World, address, event, facts, socket_facts


def _loaded(*sockets: object, own: dict[int, tuple[bytes, ...]] | None = None) -> World:
    world = World()
    for pid in range(1, 6):
        world.host.processes[pid] = facts(pid, f"/bin/p{pid}")
    world.owners.load(SocketScan(tuple(sockets), own or {1: ()}), world.processes)  # type: ignore[arg-type]
    return world


def _listener(world: World, namespace: int, text: str, port: int) -> int | None:
    process = world.owners.listener(namespace, 6, address(text), port)
    return process.pid if process else None


def test_an_exact_address_goes_before_a_wildcard() -> None:
    world = _loaded(
        socket_facts(1, ("0.0.0.0", 80), owners=((1, 3),)),
        socket_facts(2, ("127.0.0.2", 80), owners=((2, 3),)),
        socket_facts(3, ("::", 81), owners=((3, 3), (4, 3))),
        socket_facts(4, ("0.0.0.0", 82)),
    )
    assert _listener(world, 1, "127.0.0.1", 80) == 1
    assert _listener(world, 1, "127.0.0.2", 80) == 2
    assert _listener(world, 1, "127.0.0.1", 81) == 3
    assert _listener(world, 1, "127.0.0.1", 82) is None
    assert _listener(world, 2, "127.0.0.1", 80) is None


def test_an_address_of_another_namespace_leads_to_its_listener() -> None:
    own: dict[int, tuple[bytes, ...]] = {1: (address("10.0.0.1"),), 2: (address("10.0.0.2"),)}
    world = _loaded(socket_facts(1, ("0.0.0.0", 80), namespace=2, owners=((1, 3),)), own=own)
    assert _listener(world, 1, "10.0.0.2", 80) == 1
    assert _listener(world, 1, "10.0.0.1", 80) is None
    assert world.owners.is_own(1, address("10.0.0.2"))
    assert not world.owners.is_own(1, address("10.0.0.3"))
    assert world.owners.is_own(9, address("10.0.0.3"))  # that namespace has not been scanned: nobody knows


def test_connections_between_own_addresses_are_known() -> None:
    near, far = ("10.0.0.1", 4), ("10.0.0.1", 80)
    world = _loaded(
        socket_facts(1, near, far, owners=((1, 3),)),
        socket_facts(2, near, ("192.0.2.1", 80), owners=((2, 3),)),
        own={1: (address("10.0.0.1"),)},
    )
    found = world.owners.connected(7, 6, (address("10.0.0.1"), 4), (address("10.0.0.1"), 80))
    assert found is not None
    assert found.pid == 1
    assert world.owners.connected(1, 6, (address("10.0.0.1"), 4), (address("192.0.2.1"), 80)) is None


def test_what_does_not_fit_is_counted() -> None:
    sockets = [socket_facts(port, ("127.0.0.1", port), owners=((1, port),)) for port in range(1, 151)]
    sockets += [
        socket_facts(port, ("127.0.0.1", port), ("127.0.0.1", 9), owners=((1, port),)) for port in range(1, 121)
    ]
    world = _loaded(*sockets)
    assert world.owners.refused == 50 + 20
    assert _listener(world, 1, "127.0.0.1", 100) == 1
    assert _listener(world, 1, "127.0.0.1", 101) is None


def test_a_listener_is_known_from_its_first_moment_to_its_last() -> None:
    world = _loaded()
    world.track(event(EventKind.LISTEN, process=1, inode=5, local=("127.0.0.1", 80), namespace=1))
    world.track(event(EventKind.LISTEN, process=2, inode=6, local=("0.0.0.0", 81), namespace=1))
    assert _listener(world, 1, "127.0.0.1", 80) == 1
    assert _listener(world, 1, "127.0.0.1", 81) == 2
    assert _listener(world, 2, "127.0.0.1", 80) is None  # another network
    world.track(event(EventKind.LISTEN_END, process=1, inode=5, local=("127.0.0.1", 80), namespace=1))
    world.track(event(EventKind.LISTEN_END, process=2, inode=6, local=("0.0.0.0", 81), namespace=1))
    assert _listener(world, 1, "127.0.0.1", 80) is None
    assert _listener(world, 1, "127.0.0.1", 81) is None
    assert not world.owners.is_own(1, address("0.0.0.0"))


def test_a_process_that_has_ended_listens_nowhere() -> None:
    world = _loaded()
    for process, port in ((1, 80), (2, 80), (1, 81), (2, 82)):
        local = (f"127.0.0.{process}", port)
        world.track(event(EventKind.LISTEN, process=process, inode=port, local=local, namespace=1))
    world.track(event(EventKind.PROCESS_EXIT, process=1))
    assert [_listener(world, 1, f"127.0.0.{process}", 80) for process in (1, 2)] == [None, 2]
    assert [_listener(world, 1, "127.0.0.1", 81), _listener(world, 1, "127.0.0.2", 82)] == [None, 2]
