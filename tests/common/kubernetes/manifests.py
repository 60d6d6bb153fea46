"""Objects of a cluster as its API server writes them, as short as tests want them."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.kubernetes.objects import SERVICE_OF_SLICE

Object = dict[str, Any]
STARTED = "2026-01-01T00:00:00Z"


def metadata(name: str, namespace: str, labels: Mapping[str, str] | None = None, created: str = STARTED) -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": dict(labels) if labels else None, "creationTimestamp": created}


def pod(
    name: str,
    *addresses: str,
    namespace: str = "default",
    labels: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
    host_ports: Sequence[int] = (),
    host_addresses: Sequence[str] = (),
    host_network: bool = False,
    phase: str = "Running",
    started: str | None = STARTED,
    node: str = "node-1",
) -> Object:
    declared = [{"containerPort": port} for port in ports]
    declared += [{"containerPort": port, "hostPort": port} for port in host_ports]
    status: Object = {"phase": phase}
    if started:
        status["startTime"] = started
    if addresses:
        status |= {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
    if host_addresses:
        status |= {"hostIP": host_addresses[0], "hostIPs": [{"ip": address} for address in host_addresses]}
    spec: Object = {"nodeName": node, "containers": [{"name": "main", "ports": declared or None}]}
    if host_network:
        spec["hostNetwork"] = True
    return {"metadata": metadata(name, namespace, labels), "spec": spec, "status": status}


def service(
    name: str,
    *cluster_addresses: str,
    namespace: str = "default",
    selector: Mapping[str, str] | None = None,
    ports: Sequence[int] = (80,),
    node_ports: Sequence[int] = (),
    external: Sequence[str] = (),
    balancers: Sequence[str] = (),
    type_: str = "ClusterIP",
) -> Object:
    listed = list(cluster_addresses) or ["None"]
    spec: Object = {"type": type_, "selector": dict(selector) if selector else None}
    if type_ != "ExternalName":
        spec |= {"clusterIP": listed[0], "clusterIPs": listed}
    spec["ports"] = [{"port": port} for port in ports]
    for entry, node_port in zip(spec["ports"], node_ports, strict=False):
        entry["nodePort"] = node_port
    if external:
        spec["externalIPs"] = list(external)
    balancer = {"ingress": [{"ip": address} for address in balancers]} if balancers else {}
    return {"metadata": metadata(name, namespace), "spec": spec, "status": {"loadBalancer": balancer}}


def endpoint_slice(
    name: str,
    of: str,
    ends: Mapping[str, str] | Sequence[str],
    *,
    namespace: str = "default",
    ports: Sequence[int | None] | None = (80,),
) -> Object:
    """Ends are addresses, or addresses with the names of their pods."""
    pods = ends if isinstance(ends, Mapping) else dict.fromkeys(ends, "")
    endpoints = [
        {"addresses": [address], **({"targetRef": {"kind": "Pod", "name": pod_name}} if pod_name else {})}
        for address, pod_name in pods.items()
    ]
    return {
        "metadata": metadata(name, namespace, {SERVICE_OF_SLICE: of} if of else None),
        "addressType": "IPv4",
        "endpoints": endpoints or None,
        "ports": None if ports is None else [{} if port is None else {"port": port} for port in ports],
    }


def node(name: str, *addresses: str, pod_networks: Sequence[str] = ()) -> Object:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    spec: Object = {"podCIDRs": list(pod_networks)} if pod_networks else {}
    hostname = {"type": "Hostname", "address": name}
    return {"metadata": metadata(name, ""), "spec": spec, "status": {"addresses": [*listed, hostname]}}
