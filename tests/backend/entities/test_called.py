import pytest

from backend.entities import ids
from backend.entities.flows import Flow
from backend.entities.grouping import Grouping
from backend.entities.grouping_rules import read_rules
from backend.entities.names import NameLimits
from backend.entities.resolution import Resolver
from tests.backend.entities.test_resolution import API, CLIENT, DB, SERVER, connection, plain, process, resolve


def test_calls_that_are_served_have_a_flow_for_each_endpoint() -> None:
    resolver = Resolver(limits=NameLimits(endpoint=12))
    flow = resolver.resolve(connection(process("api", "a"), process("db", "d"), SERVER))
    assert isinstance(flow, Flow)
    served = resolver.serve(flow, "Get", "/orders?id=7")
    assert served is not flow
    assert served is resolver.serve(flow, "Get", "/orders?id=8")
    assert (served.endpoint, served.endpoint_name) == (ids.endpoint_id(API, "GET:/orders"), "GET:/orders")
    assert (served.service, served.instance, served.relation) == (flow.service, flow.instance, flow.relation)
    assert (flow.endpoint, flow.endpoint_name) == (None, None)
    assert resolver.serve(flow, "Get", "/orders/of/today").endpoint_name == "GET:/orders/"


def test_calls_of_clients_and_of_services_that_are_not_known_have_no_endpoint() -> None:
    resolver = Resolver()
    called = resolver.resolve(connection(process("api"), process("db"), CLIENT))
    flow = resolver.resolve(connection(plain(), process("db"), SERVER))
    assert isinstance(called, Flow)
    assert isinstance(flow, Flow)
    assert resolver.serve(called, "Get", "/") is called
    assert resolver.serve(flow, "Get", "/") is flow
    with pytest.raises(ValueError, match="the service of an endpoint must be known"):
        flow.at("GET:/")


def test_a_client_that_says_what_it_was_serving_relates_two_endpoints() -> None:
    resolver = Resolver(limits=NameLimits(endpoint=12))
    flow = resolver.resolve(connection(process("api", "a"), process("db", "d")))
    assert isinstance(flow, Flow)
    related = resolver.serve(flow, "Post", "/rows?all", "get:/orders?x#y")
    assert related is resolver.serve(flow, "Post", "/rows", "GET:/orders")
    assert (related.source_endpoint_name, related.destination_endpoint_name) == ("GET:/orders", "POST:/rows")
    source, target = ids.endpoint_id(API, "GET:/orders"), ids.endpoint_id(DB, "POST:/rows")
    relation = ids.endpoint_relation_id(API, "GET:/orders", DB, "POST:/rows")
    assert related.endpoint_relation == (relation, source, target)
    assert (related.endpoint, related.relation, related.service) == (None, flow.relation, flow.service)
    assert flow.endpoint_relation is None
    assert (
        resolver.serve(flow, "Get", "/orders/of/today", "GET:/orders/of/today").source_endpoint_name == "GET:/orders/"
    )


def test_without_two_known_services_no_endpoints_are_related() -> None:
    resolver = Resolver()
    for ends, role in (
        ((process("api"), plain()), CLIENT),
        ((plain(), process("db")), CLIENT),
        ((plain(), process("db")), SERVER),
    ):
        flow = resolver.resolve(connection(*ends, role))
        assert isinstance(flow, Flow)
        assert resolver.serve(flow, "Get", "/", "GET:/a") is flow
        with pytest.raises(ValueError, match="the services of two related endpoints must be known"):
            flow.between("GET:/a", "GET:/")


def test_what_a_server_reports_is_related_by_nobody() -> None:
    flow = resolve(process("api"), process("db"), SERVER)
    assert Resolver().serve(flow, "Get", "/", "GET:/a").endpoint_relation is None


def test_relations_of_endpoints_are_bounded() -> None:
    resolver = Resolver(maximum_relations=2)
    flow = resolver.resolve(connection(process("api"), process("db")))
    assert isinstance(flow, Flow)
    found = [resolver.serve(flow, "Get", f"/{way}", "GET:/a") for way in ("x", "y", "z", "x")]
    assert [related.destination_endpoint_name for related in found] == ["GET:/x", "GET:/y", "_abandoned", "GET:/x"]
    assert found[2].source_endpoint_name == "_abandoned"


def test_endpoints_are_named_by_their_group_on_both_sides_and_by_other_rules_when_told() -> None:
    resolver = Resolver(grouping=Grouping(read_rules({"grouping": [{"service-name": "db", "rules": ["/{any}"]}]}, "f")))
    served = resolver.resolve(connection(process("api"), process("db"), SERVER))
    called = resolver.resolve(connection(process("api"), process("db")))
    assert isinstance(served, Flow)
    assert isinstance(called, Flow)

    def names() -> tuple[str | None, ...]:
        related = resolver.serve(called, "Get", "/rows", "GET:/orders/4711")
        endpoint = resolver.serve(served, "Get", "/orders/4711?x").endpoint_name
        return endpoint, related.source_endpoint_name, related.destination_endpoint_name

    assert names() == ("GET:/orders/{number}", "GET:/orders/{number}", "GET:/{any}")
    resolver.use(Grouping(read_rules({"automatic": False}, "f")))
    assert names() == ("GET:/orders/4711", "GET:/orders/4711", "GET:/rows")


def test_grouping_is_asked_once_for_each_name() -> None:
    asked: list[tuple[str, str]] = []

    class Counting(Grouping):
        def group(self, service: str, name: str) -> str:
            asked.append((service, name))
            return name

    resolver = Resolver(grouping=Counting())
    flow = resolver.resolve(connection(process("api"), process("db"), SERVER))
    assert isinstance(flow, Flow)
    for _ in range(3):
        resolver.serve(flow, "Get", "/a")
        resolver.serve(flow, "Get", "/b")
    assert asked == [("api", "GET:/a"), ("api", "GET:/b")]
