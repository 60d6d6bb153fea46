from prometheus_client import CollectorRegistry

from backend.entities.addresses.chain import AddressBookChain
from backend.entities.addresses.cluster import WatchedCluster
from backend.entities.addresses.hosts import HostBook
from backend.entities.addresses.table import NameBook, NameTable
from backend.entities.addresses.timeline import Timeline
from backend.server.naming_telemetry import NamingCollector
from common.kubernetes.access import Access, Server
from tests.backend.entities.addresses.world import World, asking
from tests.common.kubernetes.manifests import pod, service


def test_every_bound_of_hosts_and_of_the_cluster_is_counted_by_its_cause() -> None:
    hosts = HostBook(
        Timeline(maximum_keys=3, maximum_ended=1), minute=lambda: 1000, maximum_hosts=2, maximum_addresses=2
    )
    hosts.hear(asking("", "a"), ["192.0.2.1", "192.0.2.2", "192.0.2.3"])  # one too many of a host
    hosts.hear(asking("", "b"), ["192.0.2.4", "192.0.2.5"])  # one too many of all
    hosts.hear(asking("", "c"), [])  # one host too many: the two addresses of "a" end, and one of them is forgotten
    hosts.hear(asking("", "c"), [])
    world = World(timeline=Timeline(maximum_keys=2, maximum_ended=1), maximum_objects=2, maximum_claims=2)
    world.put("services", service("s", ports=range(1, 5), balancers=["198.51.100.1"]))
    world.put("pods", *(pod(f"{number}", f"10.0.0.{number}") for number in range(1, 6)))
    registry = CollectorRegistry()
    books, table = AddressBookChain([hosts]), NameBook(NameTable({}))
    cluster = WatchedCluster(Access(Server("127.0.0.1", 1, secure=False)), world.index)
    registry.register(NamingCollector(books, hosts, table, cluster, world.book))
    found = {
        sample.labels["cause"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "pyrover_addresses_lost_total"
    }
    assert found == {
        "host_forgotten": 1,
        "address_of_host": 1,
        "address_of_hosts": 1,
        "history_of_host": 1,
        "object": 3,
        "address_of_object": 3,
        "address_of_cluster": 2,
        "history_of_address": 0,
    }
