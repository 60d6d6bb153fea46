"""The address book of a Kubernetes cluster."""

from collections import Counter
from collections.abc import Set as AbstractSet
from enum import Enum

from backend.entities.addresses.claims import Answer, Kind
from backend.entities.addresses.kubernetes_index import KubernetesIndex
from backend.entities.addresses.timeline import Missing
from backend.entities.resolution import EXCLUDED, End
from backend.ingest.batch import Node
from common.kubernetes.addresses import packed
from common.kubernetes.naming import with_cluster


class Miss(Enum):
    """Why there was no answer."""

    NOT_LISTED = "cluster not listed yet"
    OTHER_CLUSTER = "node of another cluster"
    NO_ADDRESS = "no IP address"
    NEVER = "never seen"
    BEFORE = "not yet in use"
    AFTER = "no longer in use"
    POD_OF_NO_SERVICE = "pod of no service"


_MISSES = {Missing.NEVER: Miss.NEVER, Missing.BEFORE: Miss.BEFORE, Missing.AFTER: Miss.AFTER}


class KubernetesBook:
    """Names what is behind the addresses of a cluster. Asked from one thread.

    Names have the cluster of the node that asks before them, as those of its own processes have.

    Attributes:
        index: what it is read from.
        misses: how often there was no answer, by cause.
    """

    def __init__(
        self, index: KubernetesIndex, *, cluster: str = "", excluded_namespaces: AbstractSet[str] = frozenset()
    ) -> None:
        """Read an index.

        Args:
            index: of the cluster.
            cluster: name by which its nodes know the cluster; empty where there is only one, whose nodes are all that
                ask. Nodes of another cluster would find strangers, as clusters use the same private addresses.
            excluded_namespaces: namespaces whose pods and services answer as excluded, besides those that the node
                excludes that asks.
        """
        self.index = index
        self.misses: Counter[Miss] = Counter()
        self._cluster = cluster
        self._excluded_namespaces = excluded_namespaces

    @property
    def version(self) -> int:
        """As AddressBook.version."""
        return self.index.version

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        """As AddressBook.find. The instance is a pod or node; empty for a service's own address."""
        found = self._look_up(host, port, node, minute)
        if isinstance(found, Miss):
            self.misses[found] += 1
            return None
        if found.namespace in self._excluded_namespaces or found.namespace in node.excluded_namespaces:
            return EXCLUDED
        if found.kind is Kind.LONE_POD:
            self.misses[Miss.POD_OF_NO_SERVICE] += 1
            return None
        return End(with_cluster(node.cluster, found.service), found.instance)

    def _look_up(self, host: str, port: int, node: Node, minute: int) -> Answer | Miss:
        if self._cluster and node.cluster != self._cluster:
            return Miss.OTHER_CLUSTER
        if not self.index.listed:
            return Miss.NOT_LISTED
        address = packed(host)
        if address is None:
            return Miss.NO_ADDRESS
        found = self.index.find(address, port, minute)
        return _MISSES[found] if isinstance(found, Missing) else found
