import pytest

from agent.connections.peers import Peers
from agent.connections.startup import adopt_open_connections
from agent.connections.view import View
from agent.discovery.host import SocketScan
from agent.events.layout import EventKind, Role
from tests.agent.synthetic import World, address, event, facts, released, socket_facts

K = EventKind
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 80)


def _world() -> tuple[World, Peers]:
    world = World()
    for pid, name in ((1, "client"), (2, "server"), (3, "other")):
        world.host.processes[pid] = facts(pid, f"/usr/bin/{name}")
    return world, Peers(world.table, world.owners)


def _view(world: World, kind: EventKind, **fields: object) -> View:
    (view,) = world.track(event(kind, **fields)).views.values()  # type: ignore[arg-type]
    return view


def _name(peers: Peers, view: View) -> str | None:
    process = peers.find(view)
    return process.identity.service if process else None


def test_both_ends_of_a_loopback_connection_know_each_other() -> None:
    world, peers = _world()
    client = _view(world, K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER)
    server = _view(world, K.ACCEPT, process=2, inode=2, local=SERVER, remote=CLIENT)
    assert (_name(peers, client), _name(peers, server)) == ("server", "client")


def test_an_end_that_has_closed_meanwhile_is_still_known() -> None:
    world, peers = _world()
    client = _view(world, K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER)
    _view(world, K.ACCEPT, process=2, inode=2, local=SERVER, remote=CLIENT)
    world.track(released(process=2, inode=2))
    assert _name(peers, client) == "server"


def test_loopback_of_another_namespace_is_another_place() -> None:
    world, peers = _world()
    client = _view(world, K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER, namespace=1)
    _view(world, K.ACCEPT, process=2, inode=2, local=SERVER, remote=CLIENT, namespace=2)
    assert _name(peers, client) is None


def test_across_a_pair_of_virtual_interfaces_the_ends_are_in_different_namespaces() -> None:
    world, peers = _world()
    near, far = ("10.1.0.1", 40000), ("10.1.0.2", 80)
    client = _view(world, K.CONNECT, process=1, inode=1, local=near, remote=far, namespace=1)
    _view(world, K.ACCEPT, process=2, inode=2, local=far, remote=near, namespace=2)
    assert _name(peers, client) == "server"


def test_of_several_processes_that_hold_the_other_end_the_open_one_counts() -> None:
    world, peers = _world()
    client = _view(world, K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER)
    _view(world, K.READ, process=2, inode=2, local=SERVER, remote=CLIENT, size=1)
    _view(world, K.ACCEPT, process=3, inode=2, local=SERVER, remote=CLIENT)
    assert _name(peers, client) == "other"
    world.track(released(process=3, inode=2))
    assert _name(peers, client) == "server"


def test_a_listener_names_the_far_end_before_it_has_accepted() -> None:
    world, peers = _world()
    scan = SocketScan((socket_facts(9, ("0.0.0.0", 80), owners=((2, 3),)),), {1: (address("192.0.2.1"),)})
    world.owners.load(scan, world.processes)
    assert _name(peers, _view(world, K.CONNECT, process=1, local=CLIENT, remote=SERVER)) == "server"
    own = _view(world, K.CONNECT, process=1, inode=2, local=("192.0.2.1", 4), remote=("192.0.2.1", 80))
    assert _name(peers, own) == "server"
    assert not peers.unresolved
    outside = _view(world, K.CONNECT, process=1, inode=3, local=("192.0.2.1", 5), remote=("192.0.2.9", 80))
    assert _name(peers, outside) is None
    assert not peers.unresolved


def test_a_listener_that_was_not_there_at_the_scan_is_learned_from_what_it_accepts() -> None:
    world, peers = _world()
    world.owners.load(SocketScan((), {1: ()}), world.processes)
    early = _view(world, K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER)
    assert _name(peers, early) is None
    assert peers.unresolved
    _view(world, K.ACCEPT, process=2, inode=2, local=SERVER, remote=("127.0.0.1", 40001))
    assert _name(peers, early) == "server"


def test_a_connection_without_events_is_known_from_a_scan() -> None:
    world, peers = _world()
    server = _view(world, K.READ, process=2, inode=2, local=SERVER, remote=CLIENT, size=1)
    scan = SocketScan((socket_facts(9, CLIENT, SERVER, owners=((3, 3),)),), {1: ()})
    world.owners.load(scan, world.processes)
    assert _name(peers, server) == "other"


def test_open_connections_are_adopted_with_the_role_that_listeners_tell() -> None:
    world, _ = _world()
    scan = SocketScan(
        (
            socket_facts(8, ("0.0.0.0", 80), owners=((2, 3),)),
            socket_facts(9, SERVER, CLIENT, owners=((2, 4), (3, 4))),
            socket_facts(10, CLIENT, SERVER, owners=((1, 5),)),
            socket_facts(11, ("127.0.0.1", 9), ("127.0.0.1", 10), owners=((77, 5),)),  # its process is gone
            socket_facts(12, ("127.0.0.1", 9), ("127.0.0.1", 11)),  # nobody holds it
        ),
        {1: ()},
    )
    assert adopt_open_connections(scan, world.registry, world.now_ns) == 3
    tracked = world.track(
        event(K.CLOSE, process=2, inode=8),
        event(K.CLOSE, process=2, inode=9, descriptor=4),
        released(process=3, inode=9, descriptor=4),
        released(process=1, inode=10, descriptor=5),
    )
    assert [(view.process.pid, view.role) for view in tracked.views.values()] == [
        (2, Role.SERVER),
        (3, Role.SERVER),
        (1, Role.CLIENT),
    ]
    assert tracked.logs["kind"].tolist() == [K.CLOSE] * 3
    assert world.registry.information == {"close of an inherited or unconnected socket": 1}  # the listener's


def test_who_listened_at_the_time_of_the_connect_is_remembered() -> None:
    world, peers = _world()
    world.track(event(K.LISTEN, process=2, inode=9, local=SERVER))
    client = _view(world, K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER, result=-110)
    world.track(event(K.PROCESS_EXIT, process=2))
    late = _view(world, K.CONNECT, process=1, inode=3, local=("127.0.0.1", 40001), remote=SERVER, result=-111)
    assert (_name(peers, client), _name(peers, late)) == ("server", None)


ZTUNNEL, APPLICATION, CALLER = 4, 5, 6
POD, CLIENT_POD = "10.0.0.2", "10.0.0.9"


def _ambient(*, scanned: bool) -> tuple[World, Peers]:
    """A pod of an ambient mesh in namespace 7, whose traffic ztunnel takes there, and another pod in namespace 8."""
    world = World()
    for pid, name in ((ZTUNNEL, "ztunnel"), (APPLICATION, "application"), (CALLER, "caller")):
        world.host.processes[pid] = facts(pid, f"/usr/bin/{name}")
    own: dict[int, tuple[bytes, ...]] = {1: (address("10.0.0.1"),)}
    if scanned:
        own |= {7: (address(POD),), 8: (address(CLIENT_POD),)}
    world.owners.load(SocketScan((), own), world.processes)
    return world, Peers(world.table, world.owners)


def _told_as(peers: Peers, view: View) -> str | None:
    """Who is told as the far end, or None for its address."""
    return _name(peers, view)


@pytest.mark.parametrize("scanned", [True, False])
def test_a_call_that_ztunnel_hands_in_has_its_caller_as_far_end(*, scanned: bool) -> None:
    world, peers = _ambient(scanned=scanned)
    called, caller = (POD, 8080), (CLIENT_POD, 45000)
    handed_in = _view(
        world, K.CONNECT, process=ZTUNNEL, inode=11, local=caller, remote=called, namespace=7, role=Role.CLIENT
    )
    accepted = _view(world, K.ACCEPT, process=APPLICATION, inode=12, local=called, remote=caller, namespace=7)
    assert _told_as(peers, accepted) is None  # the address, which is that of the caller's pod
    assert _told_as(peers, handed_in) == "application"


@pytest.mark.parametrize("scanned", [True, False])
def test_a_call_that_ztunnel_takes_keeps_where_it_was_to_go(*, scanned: bool) -> None:
    world, peers = _ambient(scanned=scanned)
    local, service, proxy = (CLIENT_POD, 40000), ("10.96.0.1", 80), ("127.0.0.1", 15001)
    calling = _view(world, K.CONNECT, process=CALLER, inode=1, local=local, remote=service, namespace=8)
    taken = _view(world, K.ACCEPT, process=ZTUNNEL, inode=2, local=proxy, remote=local, namespace=8)
    assert _told_as(peers, calling) is None
    assert _told_as(peers, taken) is None
    tunnel = _view(
        world, K.CONNECT, process=ZTUNNEL, inode=3, local=(CLIENT_POD, 40001), remote=(POD, 15008), namespace=8
    )
    inbound = _view(
        world, K.ACCEPT, process=ZTUNNEL, inode=4, local=(POD, 15008), remote=(CLIENT_POD, 40001), namespace=7
    )
    assert (_told_as(peers, tunnel), _told_as(peers, inbound)) == ("ztunnel", "ztunnel")


def test_processes_of_a_host_with_several_addresses_know_each_other() -> None:
    world, peers = _world()
    world.owners.load(SocketScan((), {1: (address("192.0.2.1"), address("192.0.2.2"))}), world.processes)
    near, far = ("192.0.2.1", 40000), ("192.0.2.2", 80)
    client = _view(world, K.CONNECT, process=1, inode=1, local=near, remote=far)
    server = _view(world, K.ACCEPT, process=2, inode=2, local=far, remote=near)
    assert (_name(peers, client), _name(peers, server)) == ("server", "client")


def test_a_proxy_that_is_found_by_a_scan_names_no_caller_either() -> None:
    world, peers = _world()
    called, caller = (POD, 8080), (CLIENT_POD, 45000)
    scan = SocketScan(
        (
            socket_facts(1, caller, called, owners=((1, 3),), namespace=7),
            socket_facts(2, called, caller, owners=((2, 3),), namespace=7),
        ),
        {7: (address(POD),), 8: (address(CLIENT_POD),)},
    )
    world.owners.load(scan, world.processes)
    server = _view(world, K.READ, process=2, inode=2, local=called, remote=caller, namespace=7, size=1)
    assert _name(peers, server) is None
