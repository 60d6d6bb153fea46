"""What is remembered from one flush to the next changes nothing of what a flush says."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.endpoints import LIFETIME, EndpointNames
from backend.entities.grouping import Grouping
from backend.entities.resolution import Flow, Resolver, Unusable
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, Node, Ztunnel
from backend.metrics.analysis import Analysed, analyse
from backend.metrics.known_flows import ASKED_AGAIN, CAUSES, KnownFlows
from backend.metrics.sightings import Sightings
from backend.oal.compiler import Program
from backend.oal.loader import STANDARD, load, load_texts
from backend.storage.interface import Endpoint, Flush, Instance, Relation, Service
from tests.backend.oal.batches import NODE, batches
from tests.clock import Clock

STANDARDS = Program(load(STANDARD).definitions)
OTHER = Program(load_texts({"x": "calls = from(K8SEndpoint.*).cpm();"}).definitions)
SIDES = {DetectPoint.SERVER: "server", DetectPoint.CLIENT: "client"}
API, DB = Address("api", "api-1", "", "", 1), Address("db", "db-1", "", "", 2)


def served(role: DetectPoint = DetectPoint.SERVER) -> Connection:
    return Connection(NODE, API, DB, role, tls=False, protocol=1)


SERVED = served()


def content(analysed: Analysed) -> object:
    """All that a flush says, in an order that does not depend on how it was found."""
    flush: Flush = analysed.flush
    rows = sorted(flush.rows.iter_rows())
    measures = sorted(flush.measures.iter_rows())
    entities = [sorted(map(repr, of)) for of in (flush.services, flush.instances, flush.endpoints)]
    relations = [sorted(of) for of in (flush.service_relations, flush.instance_relations, flush.endpoint_relations)]
    return rows, measures, entities, relations, analysed.dropped, analysed.abandoned


@settings(max_examples=20, deadline=None)
@given(
    flushes=st.lists(st.tuples(st.lists(batches(), max_size=2), st.booleans()), min_size=1, max_size=4),
    maximum=st.sampled_from([0, 3, 1_000]),
)
def test_a_flush_says_the_same_whatever_came_before(flushes: list[tuple[list[LogBatch], bool]], maximum: int) -> None:
    resolver = Resolver()
    flows = KnownFlows(resolver, maximum_flows=maximum, maximum_connections=maximum, maximum_served=maximum)
    for given_batches, is_other in flushes:
        program = OTHER if is_other else STANDARDS
        found = analyse(given_batches, resolver, program, "writer", flows=flows)
        assert content(found) == content(analyse(given_batches, Resolver(), program, "writer"))


def test_flows_beyond_the_maximum_are_forgotten_and_counted() -> None:
    flows = KnownFlows(Resolver(), maximum_flows=1)
    ends = [served(), served(DetectPoint.CLIENT)]
    assert flows.of_connections(ends, 0).tolist() == [0, 1]
    flows.begin()
    assert (flows.forgotten, len(flows)) == (2, 0)
    assert flows.of_connections(ends[1:], 0).tolist() == [0]
    flows.begin()
    assert (flows.forgotten, len(flows)) == (2, 1)


class Counting(Resolver):
    """Counts what it is asked."""

    resolved = served = 0

    def resolve(self, connection: Connection, minute: int = 0) -> Flow | Unusable:
        self.resolved += 1
        return super().resolve(connection, minute)

    def serve(self, flow: Flow, method: str, path: str, caller: str = "") -> Flow:
        self.served += 1
        return super().serve(flow, method, path, caller)


def of_calls(flows: KnownFlows, paths: Sequence[str]) -> tuple[list[int], int]:
    flow = flows.of_connections([SERVED], 0)
    found, abandoned = flows.of_calls(
        np.repeat(flow, len(paths)), np.arange(len(paths)), [("Get", path, "") for path in paths]
    )
    return found.tolist(), abandoned


def test_what_was_asked_is_not_asked_again_until_it_is_old() -> None:
    clock, resolver = Clock(), Counting()
    flows = KnownFlows(resolver, clock=clock)
    for now, asked in ((0.0, 2), (ASKED_AGAIN - 1, 2), (ASKED_AGAIN, 4)):
        clock.now = now
        flows.begin()
        assert of_calls(flows, ["/a", "/b"]) == ([1, 2], 0)
        assert (resolver.resolved, resolver.served) == (1, asked)


def test_connections_beyond_the_maximum_are_resolved_again() -> None:
    resolver = Counting()
    flows = KnownFlows(resolver, maximum_connections=1)
    ends = [served(), served(DetectPoint.CLIENT)]
    for asked in (2, 4):
        flows.begin()
        assert flows.of_connections(ends, 0).tolist() == [0, 1]
        assert resolver.resolved == asked


def test_calls_beyond_the_maximum_are_asked_again() -> None:
    resolver = Counting()
    flows = KnownFlows(resolver, maximum_served=1)
    for asked in (2, 4):
        flows.begin()
        assert of_calls(flows, ["/a", "/b"]) == ([1, 2], 0)
        assert resolver.served == asked


def test_names_in_use_do_not_grow_old() -> None:
    clock = Clock()
    names = EndpointNames(maximum=1, clock=clock)
    flows = KnownFlows(Resolver(endpoints=names), clock=clock)
    for now in range(0, int(LIFETIME) * 4, 30):
        clock.now = now
        flows.begin()
        # /b never gets the place of /a, which is in use all the time.
        assert of_calls(flows, ["/a", "/b"]) == ([1, 2], 1)
    clock.now += LIFETIME
    flows.begin()
    assert of_calls(flows, ["/b"])[1] == 1
    clock.now += LIFETIME
    flows.begin()
    assert of_calls(flows, ["/b"])[1] == 0


def test_logs_without_an_endpoint_of_their_own_are_counted() -> None:
    flows = KnownFlows(Resolver(endpoints=EndpointNames(maximum=1)))
    flow = flows.of_connections([served()], 0)
    calls = [("Get", path, "") for path in ("/a", "/b", "/c")]
    found, abandoned = flows.of_calls(np.repeat(flow, 6), np.array([0, 1, 2, 2, 0, 1]), calls)
    assert abandoned == 4
    assert found.tolist() == [1, 2, 2, 2, 1, 2]


def test_other_rules_of_names_hold_from_the_next_flush_on() -> None:
    class Same(Grouping):
        def group(self, service: str, endpoint: str) -> str:
            return f"{service} {endpoint.partition(':')[0]}"

    resolver = Resolver()
    flows = KnownFlows(resolver)
    assert of_calls(flows, ["/a", "/b"])[0] == [1, 2]
    resolver.use(Same())
    flows.begin()
    assert of_calls(flows, ["/a", "/b"])[0] == [3, 3]


def test_what_is_behind_an_address_is_asked_for_each_minute() -> None:
    plain = Connection(NODE, API, Address("", "", "", "10.0.0.1", 3), DetectPoint.CLIENT, tls=False, protocol=0)
    resolver = Counting()
    flows = KnownFlows(resolver)
    for minute in range(3):
        assert flows.of_connections([plain], minute).tolist() == [0]
    assert resolver.resolved == 3


def test_a_connection_without_a_flow_says_why() -> None:
    plain = Address("", "", "", "10.0.0.1", 3)
    unknown = Connection(NODE, plain, plain, DetectPoint.CLIENT, tls=False, protocol=0)
    excluded = Connection(
        Node("node", "", 0, {}, excluded_namespaces=frozenset({"kube-system"})),
        *(Address("dns.kube-system", "dns-1", "", "", 53), DB),
        DetectPoint.CLIENT,
        tls=False,
        protocol=0,
    )
    flows = KnownFlows(Resolver())
    for _ in range(2):
        assert [CAUSES[code] for code in flows.of_connections([unknown, excluded], 0).tolist()] == [
            "unknown",
            "excluded",
        ]


def seen_by_loop(flows: Sequence[Flow], pairs: Sequence[tuple[int, int]]) -> tuple[object, ...]:
    """Who was seen, found log by log."""
    spans: dict[tuple[object, ...], list[int]] = {}
    relations: tuple[set[Relation], set[Relation], set[Relation]] = set(), set(), set()
    for number, minute in pairs:
        flow = flows[number]
        side = SIDES.get(flow.role)
        for entity in (
            flow.service and (Service, flow.service, flow.local.service, "K8S_SERVICE"),
            flow.instance and (Instance, flow.instance, flow.service, flow.local.instance),
            flow.endpoint and (Endpoint, flow.endpoint, flow.service, flow.endpoint_name),
        ):
            if entity:
                spans.setdefault(entity, []).append(minute)
        if side and flow.relation:
            relations[0].update(Relation(*flow.relation, side, each, minute) for each in flow.components)
        if side and flow.instance_relation:
            relations[1].add(Relation(*flow.instance_relation, side, 0, minute))
        if flow.endpoint_relation:
            relations[2].add(Relation(*flow.endpoint_relation, "client", 0, minute))
    made = [kind(*rest, min(minutes), max(minutes)) for (kind, *rest), minutes in spans.items()]  # type: ignore[operator] # a class
    entities = [sorted(each for each in made if isinstance(each, kind)) for kind in (Endpoint,)]
    named = [sorted(map(repr, (each for each in made if isinstance(each, kind)))) for kind in (Service, Instance)]
    return *named, *entities, *map(sorted, relations)


@st.composite
def some_flows(draw: st.DrawFn) -> list[Flow]:
    ends = st.builds(
        lambda service, instance: Address(service, instance, "p", "", 1),
        st.sampled_from(["api", "db"]),
        st.sampled_from(["", "one", "two"]),
    ) | st.just(Address("", "", "", "10.0.0.1", 3))
    connections = st.builds(
        Connection,
        st.just(NODE),
        ends,
        ends,
        st.sampled_from(DetectPoint),
        st.booleans(),
        st.sampled_from([0, 1]),
        st.sampled_from([None, Ztunnel(is_mutual=True), Ztunnel(is_mutual=False)]),
    )
    resolver = Resolver()
    found: list[Flow] = []
    for connection in draw(st.lists(connections, min_size=1, max_size=8)):
        flow = resolver.resolve(connection)
        if isinstance(flow, Flow):
            path = draw(st.sampled_from(["/a", "/b"]))
            found += [flow, resolver.serve(flow, "Get", path, draw(st.sampled_from(["", "GET:/c"])))]
    return found


@settings(max_examples=100, deadline=None)
@given(flows=some_flows(), data=st.data(), maximum=st.sampled_from([0, 2, 100]))
def test_who_was_seen_is_what_a_loop_over_logs_finds(flows: list[Flow], data: st.DataObject, maximum: int) -> None:
    sightings, taken = Sightings(maximum), 0
    for share in (1, 2, 3, 3):
        known = len(flows) * share // 3
        for flow in flows[taken:known]:
            sightings.take(flow)
        taken = known
        pairs = data.draw(
            st.lists(st.tuples(st.integers(0, known - 1), st.integers(5, 8)), unique=True) if known else st.just([])
        )
        number = np.array([number for number, _ in pairs], np.int64)
        minute = np.array([minute for _, minute in pairs], np.int64)
        seen, called = sightings.seen(number, minute), sightings.called(number, minute)
        found = (
            *(sorted(map(repr, of)) for of in (seen.services, seen.instances)),
            sorted(called.endpoints),
            *(sorted(of) for of in (seen.service_relations, seen.instance_relations, called.endpoint_relations)),
        )
        assert found == seen_by_loop(flows, pairs)
