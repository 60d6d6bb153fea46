"""What address books and watches of a cluster count, in the names under which Prometheus reads it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.entities.addresses.chain import AddressBookChain
from backend.entities.addresses.cluster import WatchedCluster
from backend.entities.addresses.hosts import HostBook, HostMiss
from backend.entities.addresses.kubernetes_book import KubernetesBook, Miss
from backend.entities.addresses.table import NameBook
from common.kubernetes.watch import Restart, Watch


@dataclass(frozen=True, slots=True)
class NamingCollector(Collector):
    """Reads the counters of address books."""

    books: AddressBookChain
    hosts: HostBook
    table: NameBook
    cluster: WatchedCluster | None = None
    cluster_book: KubernetesBook | None = None

    def collect(self) -> Iterator[Metric]:
        """Everything that is counted."""
        yield CounterMetricFamily(
            "pyrover_addresses_unknown", "Questions for an address that no book could name", value=self.books.misses
        )
        yield self._missed()
        yield GaugeMetricFamily(
            "pyrover_addresses_hosts", "Hosts that are known by their agents", value=len(self.hosts)
        )
        yield GaugeMetricFamily("pyrover_addresses_named", "Entries of the table of addresses", value=len(self.table))
        lost = CounterMetricFamily(
            "pyrover_addresses_lost", "Hosts, addresses and objects that found no room", labels=["cause"]
        )
        lost.add_metric(["host_forgotten"], self.hosts.hosts_forgotten)
        lost.add_metric(["address_of_host"], self.hosts.addresses_without_room)
        lost.add_metric(["address_of_hosts"], self.hosts.timeline.keys_without_room)
        lost.add_metric(["history_of_host"], self.hosts.timeline.forgotten_early)
        if self.cluster is not None:
            index = self.cluster.index
            kinds = (index.pods, index.services, index.slices, index.nodes)
            lost.add_metric(["object"], sum(kind.without_room for kind in kinds))
            lost.add_metric(["address_of_object"], index.claims_without_room)
            lost.add_metric(["address_of_cluster"], index.timeline.keys_without_room)
            lost.add_metric(["history_of_address"], index.timeline.forgotten_early)
            yield from self._cluster(self.cluster)
        yield lost

    def _missed(self) -> Metric:
        """What each book could not answer, while another may have."""
        family = CounterMetricFamily(
            "pyrover_addresses_missed", "Questions that a book could not answer", labels=["book", "cause"]
        )
        books: list[tuple[str, type[Enum], Mapping[Any, int]]] = [("hosts", HostMiss, self.hosts.misses)]
        if self.cluster_book is not None:
            books.append(("cluster", Miss, self.cluster_book.misses))
        for book, causes, misses in books:
            for cause in causes:
                family.add_metric([book, cause.name.lower()], misses.get(cause, 0))
        family.add_metric(["table", "never"], self.table.misses)
        return family

    @staticmethod
    def _cluster(cluster: WatchedCluster) -> Iterator[Metric]:
        index, watches = cluster.index, cluster.watches
        objects = GaugeMetricFamily(
            "pyrover_kubernetes_objects", "Objects of the cluster that are known", labels=["kind"]
        )
        counts = {
            "pods": index.pods.count,
            "services": index.services.count,
            "endpointslices": index.slices.count,
            "nodes": index.nodes.count,
        }
        for kind, count in counts.items():
            objects.add_metric([kind], count)
        yield objects
        yield GaugeMetricFamily(
            "pyrover_kubernetes_addresses", "Addresses of the cluster that are known", value=len(index.timeline)
        )
        yield _by_kind(watches, "lists", "Complete lists of objects read", lambda watch: watch.counts.lists)
        yield _by_kind(watches, "events", "Changes of objects told", lambda watch: watch.counts.events)
        yield _by_kind(
            watches, "unreadable", "Objects that could not be read", lambda watch: watch.counts.unreadable_objects
        )
        yield _by_kind(
            watches,
            "without_room",
            "Objects beyond the bound of their kind",
            lambda watch: watch.counts.objects_without_room,
        )
        restarts = CounterMetricFamily(
            "pyrover_kubernetes_watch_restarts", "Watches that began again", labels=["kind", "cause"]
        )
        failing = GaugeMetricFamily("pyrover_kubernetes_watch_failing", "1 while a watch does not run", labels=["kind"])
        for watch in watches:
            for cause in Restart:
                restarts.add_metric([watch.resource.name, cause.name.lower()], watch.counts.restarts.get(cause, 0))
            failing.add_metric([watch.resource.name], bool(watch.counts.trouble))
        yield restarts
        yield failing


def _by_kind(
    watches: tuple[Watch[Any], ...], name: str, documentation: str, count: Callable[[Watch[Any]], int]
) -> Metric:
    family = CounterMetricFamily(f"pyrover_kubernetes_{name}", documentation, labels=["kind"])
    for watch in watches:
        family.add_metric([watch.resource.name], count(watch))
    return family
