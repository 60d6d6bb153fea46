import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.entities import ids
from backend.entities.names import NameLimits
from backend.entities.resolution import EXCLUDED, End, Flow, Resolver, Unusable
from backend.ingest.batch import Address, Connection, DetectPoint, Node, Ztunnel

NODE = Node("node", "", 0, {})
CLIENT, SERVER, PROXY = DetectPoint.CLIENT, DetectPoint.SERVER, DetectPoint.PROXY


def process(service: str, instance: str = "host") -> Address:
    return Address(service, instance, "program", "", 80)


def plain(host: str = "10.0.0.1") -> Address:
    return Address("", "", "", host, 80)


def connection(
    local: Address, remote: Address, role: DetectPoint = CLIENT, *, tls: bool = False, protocol: int = 0
) -> Connection:
    return Connection(NODE, local, remote, role, tls, protocol)


def resolve(local: Address, remote: Address, role: DetectPoint = CLIENT) -> Flow:
    flow = Resolver().resolve(connection(local, remote, role))
    assert isinstance(flow, Flow)
    return flow


API, DB, UNKNOWN = (ids.service_id(name) for name in ("api", "db", "Unknown"))


@pytest.mark.parametrize(
    ("role", "source", "destination"),
    [(CLIENT, API, DB), (SERVER, DB, API), (PROXY, API, DB), (DetectPoint.UNRECOGNIZED, API, DB)],
)
def test_a_call_goes_to_the_local_end_only_when_it_is_the_server(
    role: DetectPoint, source: str, destination: str
) -> None:
    flow = resolve(process("api", "a"), process("db", "d"), role)
    assert flow.service == API
    assert flow.instance == ids.instance_id(API, "a")
    assert flow.relation == (f"{source}-{destination}", source, destination)
    names = {API: "a", DB: "d"}
    ends = [ids.instance_id(of, names[of]) for of in (source, destination)]
    assert flow.instance_relation == ("-".join(ends), *ends)
    assert flow.role is role


def test_an_address_is_unknown_but_its_relations_count() -> None:
    flow = resolve(process("api", "a"), plain())
    assert flow.relation == (f"{API}-{UNKNOWN}", API, UNKNOWN)
    unknown = ids.instance_id(UNKNOWN, "Unknown")
    assert flow.instance_relation is not None
    assert flow.instance_relation.destination == unknown


def test_an_unknown_local_end_has_relations_only() -> None:
    flow = resolve(plain(), process("db", "d"))
    assert flow.service is None
    assert flow.instance is None
    assert flow.relation == (f"{UNKNOWN}-{DB}", UNKNOWN, DB)
    assert flow.instance_relation is not None


def test_two_unknown_ends_count_for_nothing() -> None:
    assert Resolver().resolve(connection(plain(), plain("10.0.0.2"))) is Unusable.UNKNOWN
    assert Resolver().resolve(connection(plain(""), Address("Unknown", "x", "", "", 0))) is Unusable.UNKNOWN


def test_a_service_that_calls_itself_has_no_relation_but_all_the_rest() -> None:
    flow = resolve(process("python3", "host-1"), process("python3", "host-2"))
    service = ids.service_id("python3")
    assert flow.service == service
    assert flow.instance == ids.instance_id(service, "host-1")
    assert flow.relation is None
    assert flow.instance_relation is not None
    assert flow.instance_relation.source == ids.instance_id(service, "host-1")
    assert flow.instance_relation.destination == ids.instance_id(service, "host-2")


def test_without_an_instance_only_services_count() -> None:
    flow = resolve(process("api", ""), process("db", "d"))
    assert flow.service == API
    assert flow.instance is None
    assert flow.relation is not None
    assert flow.instance_relation is None
    flow = resolve(process("api", "a"), process("db", " "))
    assert flow.instance is not None
    assert flow.instance_relation is None


def test_a_process_without_a_service_name_has_a_blank_one() -> None:
    flow = resolve(Address("", "host", "program", "", 0), process("db"))
    assert flow.local == End("_blank", "host")
    assert flow.service == ids.service_id("_blank")


@pytest.mark.parametrize(
    ("protocol", "tls", "component"),
    [(0, False, 110), (0, True, 130), (1, False, 49), (1, True, 129), (2, False, 49), (2, True, 129), (9, True, 0)],
)
def test_components(*, protocol: int, tls: bool, component: int) -> None:
    flow = Resolver().resolve(connection(process("api"), process("db"), tls=tls, protocol=protocol))
    assert isinstance(flow, Flow)
    assert flow.components == (component,)
    assert flow.tls == tls


def test_long_names_are_cut() -> None:
    resolver = Resolver(limits=NameLimits(service=3, instance=2))
    flow = resolver.resolve(connection(process("apis", "abc"), process("apix", "abd")))
    assert isinstance(flow, Flow)
    assert flow.local == End("api", "ab")
    # What is equal after the cut is one service.
    assert flow.relation is None
    unknown = resolver.resolve(connection(process("api"), plain()))
    assert isinstance(unknown, Flow)
    assert unknown.destination == End("Unknown", "Unknown")


class Addresses:
    """An address book that says who was asked for, and may change."""

    def __init__(self, found: End | None = None) -> None:
        self.version = 1
        self.found = found
        self.asked: list[tuple[str, int, Node, int]] = []

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        self.asked.append((host, port, node, minute))
        return self.found


def destination(resolver: Resolver, of: Connection, minute: int = 7) -> str:
    flow = resolver.resolve(of, minute)
    assert isinstance(flow, Flow)
    return flow.destination.service


def test_an_address_book_is_asked_for_addresses_only_and_once_per_connection_and_minute() -> None:
    book = Addresses(End("db", ""))
    resolver = Resolver(book)
    one = connection(process("api"), plain())
    for _ in range(3):
        flow = resolver.resolve(one, 7)
        assert isinstance(flow, Flow)
        assert flow.relation is not None
        assert flow.relation.destination == DB
        assert flow.instance_relation is None
    assert book.asked == [("10.0.0.1", 80, NODE, 7)]
    resolver.resolve(one, 8)
    assert book.asked[1:] == [("10.0.0.1", 80, NODE, 8)]


def test_what_an_address_book_said_is_asked_again_when_it_changes_and_nothing_else_is() -> None:
    book = Addresses(End("db", ""))
    resolver = Resolver(book)
    by_address, by_name = connection(process("api"), plain()), connection(process("api"), process("db"))
    before = resolver.resolve(by_address, 7), resolver.resolve(by_name, 7)
    book.found = End("cache", "")
    assert destination(resolver, by_address) == "db"  # nobody has said that it changed
    book.version += 1
    assert destination(resolver, by_address) == "cache"
    assert resolver.resolve(by_name, 7) is before[1]
    assert len(book.asked) == 2


def test_an_address_is_whose_it_was_in_the_minute_of_the_event() -> None:
    class Recycled(Addresses):
        def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
            super().find(host, port, node, minute)
            return End("old" if minute < 10 else "new", "")

    resolver = Resolver(Recycled())
    one = connection(process("api"), plain())
    assert [destination(resolver, one, minute) for minute in (9, 10, 9, 11)] == ["old", "new", "old", "new"]


@pytest.mark.parametrize("role", DetectPoint)
def test_an_excluded_end_drops_the_connection_on_both_sides(role: DetectPoint) -> None:
    resolver = Resolver(Addresses(EXCLUDED))
    assert resolver.resolve(connection(process("api"), plain(), role)) is Unusable.EXCLUDED
    assert resolver.resolve(connection(plain(), process("api"), role)) is Unusable.EXCLUDED
    assert resolver.resolve(connection(plain(), plain(), role)) is Unusable.EXCLUDED


@pytest.mark.parametrize(
    ("service", "excluded"),
    [
        ("dns.kube-system", True),
        ("east::dns.kube-system", True),
        ("dns.default", False),
        ("kube-system", False),
        (".kube-system", False),
        ("kube-system.default", False),
        ("a.b.kube-system", True),
    ],
)
def test_a_namespace_that_is_not_wanted_is_excluded_at_both_ends(service: str, *, excluded: bool) -> None:
    resolver = Resolver(excluded_namespaces={"kube-system"})
    for ends in ((process("api"), process(service)), (process(service), process("api"))):
        found = resolver.resolve(connection(*ends))
        assert (found is Unusable.EXCLUDED) == excluded
    by_address = Resolver(Addresses(End(service, "x")), excluded_namespaces={"kube-system"})
    found = by_address.resolve(connection(process("api"), plain()))
    assert (found is Unusable.EXCLUDED) == excluded


def test_a_namespace_that_a_node_leaves_out_is_nobody_as_the_other_end() -> None:
    node = Node("node", "", 0, {}, frozenset({"istio-system"}))
    gateway = End("gateway.istio-system", "gateway-1")
    for remote in (process(*gateway), plain()):
        flow = Resolver(Addresses(gateway)).resolve(
            Connection(node, process("api"), remote, SERVER, tls=False, protocol=1)
        )
        assert isinstance(flow, Flow)
        assert flow.service == API
        assert flow.source == End("Unknown", "Unknown")
    # The names of the end that was observed are what the node means.
    own = Connection(node, process(*gateway), process("api"), CLIENT, tls=False, protocol=1)
    assert Resolver().resolve(own) is Unusable.EXCLUDED
    nobody = Connection(node, plain(), process(*gateway), CLIENT, tls=False, protocol=1)
    assert Resolver().resolve(nobody) is Unusable.UNKNOWN


def test_connections_within_a_service_are_ignored_when_that_is_asked_for() -> None:
    resolver = Resolver(ignore_same_service=True, limits=NameLimits(service=5))
    assert resolver.resolve(connection(process("api", "a"), process("api", "b"))) is Unusable.SAME_SERVICE
    assert resolver.resolve(connection(process("apiary"), process("apiarist"))) is Unusable.SAME_SERVICE
    assert isinstance(resolver.resolve(connection(process("api"), process("db"))), Flow)


def test_connections_that_share_ends_share_a_flow() -> None:
    resolver = Resolver()
    flows = {resolver.resolve(connection(process("api"), process("db"))) for _ in range(5)}
    assert len(flows) == 1
    assert resolver.resolve(connection(process("api"), process("db"), SERVER)) not in flows
    assert resolver.resolve(connection(process("api"), process("db"), tls=True)) not in flows


def test_caches_are_bounded_and_what_was_forgotten_resolves_to_the_same_ids() -> None:
    resolver = Resolver(maximum_connections=10, maximum_flows=5)
    connections = [connection(process(f"service {number}"), process("db")) for number in range(50)]
    before = [resolver.resolve(each) for each in connections]
    kept = [each for each in gc.get_objects() if isinstance(each, Flow)]
    assert len(kept) >= 50  # `before` keeps them all
    wanted = [flow.relation for flow in before if isinstance(flow, Flow)]
    del before, kept
    assert [flow.relation for flow in map(resolver.resolve, connections) if isinstance(flow, Flow)] == wanted
    gc.collect()
    assert 5 <= len(resolver._resolved) <= 10
    assert resolver._flow.cache_info().currsize == 5


addresses = st.builds(
    Address,
    st.sampled_from(["", "a", "b", "Unknown"]),
    st.sampled_from(["", "i", "j"]),
    st.just(""),
    st.just("h"),
    st.just(1),
)


@given(local=addresses, remote=addresses, role=st.sampled_from(DetectPoint))
def test_the_rules_hold_for_any_two_ends(local: Address, remote: Address, role: DetectPoint) -> None:
    flow = Resolver().resolve(connection(local, remote, role))

    def end(address: Address) -> tuple[str, str]:
        if not address.service and not address.instance:
            return "Unknown", "Unknown"
        return address.service or "_blank", address.instance

    here, there = end(local), end(remote)
    if here[0] == there[0] == "Unknown":
        assert flow is Unusable.UNKNOWN
        return
    assert isinstance(flow, Flow)
    assert (flow.service is not None) == (here[0] != "Unknown")
    assert (flow.instance is not None) == (here[0] != "Unknown" and here[1] != "")
    assert (flow.relation is not None) == (here[0] != there[0])
    assert (flow.instance_relation is not None) == (here[1] != "" and there[1] != "")
    if flow.relation:
        names = ids.decode_service_relation_id(flow.relation.id)
        assert {names.source.service, names.destination.service} == {here[0], there[0]}
        assert names.destination.service == (here if role is SERVER else there)[0]


@pytest.mark.parametrize(
    ("ztunnel", "tls", "components", "mode"),
    [
        (Ztunnel(is_mutual=True), False, (142, 162), "mTLS"),
        (Ztunnel(is_mutual=True), True, (142, 162), "mTLS"),
        (Ztunnel(is_mutual=False), False, (162,), "Plain"),
        (Ztunnel(is_mutual=False), True, (162,), "TLS"),
        (None, True, (129,), "TLS"),
        (None, False, (49,), "Plain"),
    ],
)
def test_a_mesh_is_told_by_its_components(
    ztunnel: Ztunnel | None, *, tls: bool, components: tuple[int, ...], mode: str
) -> None:
    flow = Resolver().resolve(Connection(NODE, process("api"), process("db"), CLIENT, tls, 1, ztunnel))
    assert isinstance(flow, Flow)
    assert (flow.components, flow.tls_mode, flow.tls) == (components, mode, tls)
