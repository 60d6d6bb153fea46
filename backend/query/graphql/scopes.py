"""The scopes of metrics, by the names that clients know."""

CATALOGS = {
    "K8SService": "SERVICE",
    "K8SServiceInstance": "SERVICE_INSTANCE",
    "K8SEndpoint": "ENDPOINT",
    "K8SServiceRelation": "SERVICE_RELATION",
    "K8SServiceInstanceRelation": "SERVICE_INSTANCE_RELATION",
    "K8SEndpointRelation": "ENDPOINT_RELATION",
}
"""What clients call the scopes of metrics."""
