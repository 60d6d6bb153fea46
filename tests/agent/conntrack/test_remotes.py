import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent.connections.peers import Peers
from agent.connections.view import View
from agent.conntrack.remotes import Remotes
from agent.conntrack.translation import Translation
from agent.discovery.host import SocketScan
from agent.events.layout import EventKind, Events
from tests.agent.conntrack.network import as_bytes
from tests.agent.conntrack.test_table import translation
from tests.agent.synthetic import UDP, World, event, facts

K = EventKind
POD, SERVICE, BACKEND, OTHER = ("10.0.0.2", 40000), ("10.96.0.1", 80), ("10.0.1.9", 8080), ("10.0.1.8", 8081)
OWN, HOST, THIRD, FOURTH = 5, 1, 7, 8


class Follower:
    """Views of a world, and the translations that are told of them."""

    def __init__(self, capacity: int = 100) -> None:
        self.world = World()
        self.remotes = Remotes(self.world.table, capacity)
        self.views: dict[int, View] = {}

    def track(self, *parts: Events) -> View:
        """The view of the last log."""
        tracked = self.world.track(*parts)
        self.remotes.follow(tracked)
        self.views.update(tracked.views)
        return tracked.views[int(tracked.logs["view"][-1])]

    def connect(self, inode: int = 1, *, at: int = 1000, protocol: int = 6, namespace: int = OWN) -> View:
        return self.track(
            event(K.CONNECT, inode=inode, at=at, local=POD, remote=SERVICE, namespace=namespace, protocol=protocol)
        )

    def learn(self, *translations: Translation) -> None:
        self.remotes.learn(translations, 0)


def told(**changes: object) -> Translation:
    """A translation of the connection above, read after it began."""
    fields: dict[str, object] = {"source": POD, "destination": SERVICE, "new_destination": BACKEND, "seen_ns": 2000}
    return translation(**{**fields, **changes})  # type: ignore[arg-type]


def far_end(view: View) -> bytes:
    return view.seen_from_afar[1]


def test_whichever_comes_first() -> None:
    before, after = Follower(), Follower()
    before.learn(told())
    assert far_end(before.connect()) == as_bytes(BACKEND)
    view = after.connect()
    assert far_end(view) == as_bytes(SERVICE)
    after.learn(told())
    assert far_end(view) == as_bytes(BACKEND)


def test_an_accepted_connection_keeps_its_client() -> None:
    follower = Follower()
    follower.learn(told())
    view = follower.track(event(K.ACCEPT, local=POD, remote=SERVICE))
    follower.learn(told(number=2))
    assert view.translated is None


def test_another_protocol_is_another_connection() -> None:
    follower = Follower()
    view = follower.connect(protocol=UDP)
    follower.learn(told())
    assert view.translated is None


def test_the_way_goes_on_from_namespace_to_namespace_in_whatever_order_they_tell() -> None:
    hops = [
        told(namespace=OWN, of_host=False, new_destination=("10.97.0.1", 81), new_source=("10.0.0.2", 50000)),
        told(namespace=HOST, source=("10.0.0.2", 50000), destination=("10.97.0.1", 81), new_destination=BACKEND),
    ]
    for order in itertools.permutations(hops):
        follower = Follower()
        view = follower.connect()
        follower.learn(*order)
        assert view.seen_from_afar == (as_bytes(("10.0.0.2", 50000)), as_bytes(BACKEND))


def test_the_own_namespace_goes_first_then_the_host_and_foreign_ones_must_agree() -> None:
    elsewhere = told(namespace=THIRD, of_host=False, new_destination=OTHER)
    agreeing = told(namespace=FOURTH, of_host=False, new_destination=OTHER)
    disagreeing = told(namespace=FOURTH, of_host=False, new_destination=BACKEND)
    for known, expected in (
        ((told(namespace=OWN, of_host=False), elsewhere), BACKEND),
        ((told(namespace=HOST), elsewhere), BACKEND),
        ((elsewhere,), OTHER),
        ((elsewhere, agreeing), OTHER),
        ((elsewhere, disagreeing), SERVICE),
    ):
        follower = Follower()
        follower.learn(*known)
        assert far_end(follower.connect()) == as_bytes(expected)
        assert follower.remotes.losses()["contradictory translations"] == (expected == SERVICE)


def test_loopback_stays_in_its_namespace() -> None:
    ends = {"source": ("127.0.0.1", 40000), "destination": ("127.0.0.1", 80)}
    for namespace, expected in ((HOST, ("127.0.0.1", 80)), (OWN, BACKEND)):
        follower = Follower()
        follower.learn(told(namespace=namespace, **ends))
        assert far_end(follower.track(event(K.CONNECT, namespace=OWN))) == as_bytes(expected)


def test_a_redirection_to_a_proxy_beside_the_process_is_not_its_far_end() -> None:
    for proxy in (("127.0.0.1", 15001), ("::1", 15001)):
        follower = Follower()
        view = follower.connect()
        follower.learn(told(namespace=OWN, of_host=False, new_destination=proxy))
        assert view.translated is None


def test_a_redirection_to_a_proxy_of_the_far_pod_is_not_its_far_end() -> None:
    for port, of_host, expected in (
        (15006, False, None),
        (15008, False, None),
        (15006, True, (SERVICE[0], 15006)),  # a node that does so means it
        (8080, False, (SERVICE[0], 8080)),  # a server that may not bind its port
    ):
        follower = Follower()
        view = follower.connect()
        follower.learn(told(namespace=THIRD, of_host=of_host, new_destination=(SERVICE[0], port)))
        assert (view.translated[1] if view.translated else None) == (as_bytes(expected) if expected else None)


def test_a_translation_to_a_pod_whose_proxy_takes_it_ends_at_the_pod() -> None:
    """The node leads to the pod, and the pod's own namespace to the proxy in it."""
    follower = Follower()
    view = follower.connect()
    follower.learn(
        told(namespace=HOST, of_host=True),
        told(number=2, namespace=THIRD, of_host=False, destination=BACKEND, new_destination=(BACKEND[0], 15006)),
    )
    assert far_end(view) == as_bytes(BACKEND)


def test_a_translation_from_before_the_connection_gives_way_to_its_own() -> None:
    follower = Follower()
    follower.learn(told(seen_ns=10, new_destination=OTHER))
    view = follower.connect(at=1000)
    assert far_end(view) == as_bytes(OTHER)  # the kernel may go on with it
    follower.learn(told(number=2, seen_ns=1500))
    assert far_end(view) == as_bytes(BACKEND)


def test_one_that_had_ended_before_is_not_used() -> None:
    follower = Follower()
    follower.learn(told(seen_ns=10), told(seen_ns=20, ended=True))
    assert follower.connect(at=1000).translated is None


def test_datagrams_follow_the_latest() -> None:
    follower = Follower()
    view = follower.connect(protocol=UDP)
    for number, to in ((1, BACKEND), (2, OTHER)):
        follower.learn(told(protocol=UDP, number=number, new_destination=to))
        assert far_end(view) == as_bytes(to)


def test_namespaces_of_new_views_are_named_once() -> None:
    follower = Follower()
    follower.connect(1, namespace=OWN)
    follower.connect(2, namespace=THIRD)
    assert follower.remotes.namespaces() == {OWN: 100, THIRD: 100}
    follower.track(event(K.WRITE, inode=2, local=POD, remote=SERVICE, namespace=THIRD, size=1))
    assert follower.remotes.namespaces() == {}


def test_both_ends_on_this_host_find_each_other_through_both_translations() -> None:
    follower = Follower()
    world = follower.world
    world.host.processes = {1: facts(1, "/bin/client"), 2: facts(2, "/bin/server"), 3: facts(3, "/bin/kube-proxy")}
    world.owners.load(SocketScan((), {HOST: (as_bytes(SERVICE)[:16], as_bytes(BACKEND)[:16])}), world.processes)
    # Something listens at the service's address too, as kube-proxy does at node ports: it is not the far end.
    world.track(event(K.LISTEN, process=3, inode=30, local=SERVICE, namespace=HOST))
    client = follower.track(event(K.CONNECT, process=1, inode=1, local=POD, remote=SERVICE, namespace=OWN))
    peers = Peers(world.table, world.owners)
    node = ("10.0.1.1", 61000)
    follower.learn(told(new_source=node))
    server = follower.track(event(K.ACCEPT, process=2, inode=2, local=BACKEND, remote=node, namespace=THIRD))
    assert [found.identity.service for view in (client, server) if (found := peers.find(view))] == ["server", "client"]


@given(
    turns=st.lists(st.booleans(), max_size=20),
    delays=st.lists(st.integers(1, 3000), min_size=6, max_size=6),
)
def test_each_connection_of_one_port_has_its_own_far_end_however_late_both_are_told(
    turns: list[bool], delays: list[int]
) -> None:
    """Connections follow each other on one port, one a microsecond; events and translations are read in their order."""
    follower = Follower()
    views: list[View] = []
    learned = seen_ns = 0
    for connects in itertools.chain(turns, itertools.cycle((True, False))):
        if len(views) == learned == len(delays):
            break
        if connects and len(views) < len(delays):
            views.append(follower.connect(len(views) + 1, at=1000 * (len(views) + 1)))
        elif not connects and learned < len(delays):
            seen_ns = max(seen_ns, 1000 * (learned + 1) + delays[learned])
            learned += 1
            follower.learn(told(number=learned, new_destination=("10.0.1.1", learned), seen_ns=seen_ns))
    assert [far_end(view) for view in views] == [as_bytes(("10.0.1.1", number)) for number in range(1, len(delays) + 1)]
