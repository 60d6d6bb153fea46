"""From a call to the endpoints that it concerns."""

from functools import lru_cache

from backend.entities.endpoints import ABANDONED, MAXIMUM_ENDPOINTS, EndpointNames, endpoint_name
from backend.entities.flows import UNKNOWN, Flow
from backend.entities.grouping import Grouping
from backend.ingest.batch import DetectPoint
from common.memory import sized

MAXIMUM_FLOWS = sized(2_048, 16, 131_072, 524_288)
"""Most flows of connections and most of calls that are remembered; half as many as are numbered
(backend/metrics/known_flows.py)."""
MAXIMUM_RELATIONS = 131_072
"""Most relations from endpoints, of all services together."""
MAXIMUM_NAMES = 65_536
"""Names of endpoints whose group is remembered, so that grouping costs per name and not per log."""


class Calls:
    """Finds the flows of calls. For use from one thread, but for `use`.

    Args:
        limit: longest name of an endpoint.
        grouping: which names of endpoints are one.
        endpoints: which endpoints there are.
        maximum_flows: most flows remembered.
        maximum_relations: most relations from endpoints of a service; others are between ABANDONED.
    """

    def __init__(
        self,
        limit: int,
        grouping: Grouping | None = None,
        endpoints: EndpointNames | None = None,
        *,
        maximum_flows: int = MAXIMUM_FLOWS,
        maximum_relations: int = MAXIMUM_ENDPOINTS,
    ) -> None:
        self._limit = limit
        self._endpoints = EndpointNames() if endpoints is None else endpoints
        self._relations = EndpointNames(maximum_relations, min(MAXIMUM_RELATIONS, maximum_flows))
        self._served = lru_cache(maximum_flows)(Flow.at)
        self._related = lru_cache(maximum_flows)(Flow.between)
        self.version = 0
        """Grows when endpoints are named by other rules."""
        self.use(grouping or Grouping())

    def use(self, grouping: Grouping) -> None:
        """Name endpoints by other rules from now on. May be called from any thread."""
        limit = self._limit

        def name(service: str, method: str, path: str) -> str:
            return grouping.group(service, endpoint_name(method, path))[:limit]

        self._name = lru_cache(MAXIMUM_NAMES)(name)
        # Afterwards: who sees the new version must not get a name by the old rules.
        self.version += 1

    def serve(self, flow: Flow, method: str, path: str, caller: str = "") -> Flow:
        """The flow of calls of a method and a path; `flow` itself where they concern no endpoints.

        What a server or a proxy reports has an endpoint. Upstream makes endpoints of the service "Unknown"; here only
        services that are known have any. What a client reports has two when it says which one it was serving itself.

        Args:
            flow: of the connection.
            method: such as "Get".
            path: as it was asked for.
            caller: name of the endpoint that a client was serving, such as "GET:/cart"; empty when it does not say.
        """
        if flow.role is not DetectPoint.CLIENT:
            if flow.service is None:
                return flow
            return self._served(flow, self._endpoint(flow.local.service, method, path))
        if not caller or UNKNOWN in {flow.source.service, flow.destination.service}:
            return flow
        source_method, _, source_path = caller.partition(":")
        source = self._endpoint(flow.source.service, source_method, source_path)
        destination = self._endpoint(flow.destination.service, method, path)
        # Each pair of names that are known is a relation, so pairs have a bound of their own.
        pair = f"{source}\0{flow.destination.service}\0{destination}"
        if self._relations.admit(flow.source.service, pair) == ABANDONED:
            source = destination = ABANDONED
        return self._related(flow, source, destination)

    def _endpoint(self, service: str, method: str, path: str) -> str:
        return self._endpoints.admit(service, self._name(service, method, path))
