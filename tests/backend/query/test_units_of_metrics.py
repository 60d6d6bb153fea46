import pytest

from backend.oal.loader import load, load_texts
from backend.oal.sources import SOURCES
from backend.query.catalog import CHECKS, Catalog, unit_of
from backend.query.errors import QueryError


@pytest.mark.parametrize(
    ("statement", "unit"),
    [
        ("from(K8SService.*).cpm()", "per minute"),
        ("from(K8SService.*).count()", "count"),
        ("from(K8SService.write.duration).count()", "count"),
        ("from(K8SService.write.duration).maxDouble()", "ns"),
        ("from(K8SService.protocol.http.latency).min()", "ms"),
        ("from(K8SService.protocol.http.latency).percentile2(10)", "ms"),
        ("from(K8SService.protocol.http.latency).histogram(100, 20)", "count"),
        ("from(K8SService.protocol.http.latency).apdex(name, protocol.success)", "1/10000"),
        ("from(K8SService.*).rate(protocol.success == true, protocol.http.statusCode > 0)", "1/10000"),
        ("from(K8SService.*).labelCount(write.syscall)", "count"),
        ("from(K8SService.*).labelAvg(write.syscall, write.l4.totalPackageSize)", "bytes"),
        ("from(K8SEndpointRelation.duration).doubleAvg()", "ms"),
    ],
)
def test_values_have_the_unit_of_what_they_count(statement: str, unit: str) -> None:
    (definition,) = load_texts({"x": f"m = {statement};"}).definitions
    assert unit_of(definition) == unit


def test_entities_of_every_source_are_checked() -> None:
    assert CHECKS.keys() == SOURCES.keys()
    catalog = Catalog(load().definitions)
    metric = catalog.metric("kubernetes_service_endpoint_relation_call_cpm")
    catalog.check_entity(metric, "YQ==.1-R0VUOi8=-Yg==.1-R0VUOi8=")
    with pytest.raises(QueryError):
        catalog.check_entity(metric, "YQ==.1")
