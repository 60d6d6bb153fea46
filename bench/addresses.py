"""What a cluster of many pods costs the backend: time and memory of its index, of a change, and of a question.

    .venv/bin/python -m bench.addresses [--pods 10000] [--services 1000]

Objects are decoded from JSON of the size that API servers send, as a watch does it. All times are of the processor.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from backend.entities.addresses.kubernetes_book import KubernetesBook
from backend.entities.addresses.kubernetes_index import KubernetesIndex
from backend.ingest.batch import Node
from common.kubernetes.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from common.kubernetes.subscriber import Change

Object = dict[str, Any]
_PODS_OF_A_NODE = 100
_FILLING = {"managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:field-{number}": {} for number in range(150)}}]}
"""What makes an object as large as those of real clusters, and is skipped."""


def resident() -> float:
    """MB of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def raw(subject: Object) -> msgspec.Raw:
    """As it comes in a list."""
    subject["metadata"] |= _FILLING
    return msgspec.Raw(json.dumps(subject).encode())


def address(network: int, number: int) -> str:
    """Of a network 10.x."""
    return f"10.{network + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def pod(number: int, services: int, revision: int = 0) -> msgspec.Raw:
    """A pod; a revision has another address."""
    service = number % services
    labels = {
        "app": f"app-{service}",
        "version": "v1",
        "pod-template-hash": f"{service:09x}",
        "revision": str(revision),
    }
    ip = address(100 if revision else 0, number)
    return raw(
        {
            "metadata": {"name": f"app-{service}-{number:010x}", "namespace": f"team-{service % 50}", "labels": labels},
            "spec": {"containers": [{"name": "main", "ports": [{"containerPort": 8080}]}]},
            "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "hostIP": address(200, number // _PODS_OF_A_NODE),
                "startTime": "2026-01-01T00:00:00Z",
            },
        }
    )


def service(number: int) -> msgspec.Raw:
    """A service with an address and a node port."""
    ip = address(96, number)
    spec = {"clusterIP": ip, "clusterIPs": [ip], "selector": {"app": f"app-{number}"}, "type": "NodePort"}
    ports = [{"port": 80, "nodePort": 30000 + number % 2768}]
    return raw(
        {
            "metadata": {"name": f"app-{number}", "namespace": f"team-{number % 50}"},
            "spec": {**spec, "ports": ports},
            "status": {"loadBalancer": {}},
        }
    )


def endpoint_slice(number: int, pods: int, services: int) -> msgspec.Raw:
    """The slice of a service."""
    ends = [
        {
            "addresses": [address(0, each)],
            "targetRef": {"kind": "Pod", "name": f"app-{number}-{each:010x}"},
            "conditions": {"ready": True},
        }
        for each in range(number, pods, services)
    ]
    labels = {"kubernetes.io/service-name": f"app-{number}"}
    metadata = {"name": f"app-{number}-abcde", "namespace": f"team-{number % 50}", "labels": labels}
    return raw({"metadata": metadata, "endpoints": ends, "ports": [{"port": 8080}]})


def node(number: int) -> msgspec.Raw:
    """A node."""
    addresses = [{"type": "InternalIP", "address": address(200, number)}]
    return raw({"metadata": {"name": f"node-{number}"}, "spec": {}, "status": {"addresses": addresses}})


def median(measured: Callable[[int], object], rounds: int) -> float:
    """Median processor time of a call, in microseconds."""
    times = []
    for number in range(rounds):
        begin = time.process_time()
        measured(number)
        times.append(time.process_time() - begin)
    return statistics.median(times) * 1e6


def build(index: KubernetesIndex, raws: dict[str, Sequence[msgspec.Raw]]) -> None:
    """List everything."""
    index.pods.replace([PODS.read(each) for each in raws["pods"]])
    index.services.replace([SERVICES.read(each) for each in raws["services"]])
    index.slices.replace([ENDPOINT_SLICES.read(each) for each in raws["slices"]])
    index.nodes.replace([NODES.read(each) for each in raws["nodes"]])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--services", type=int, default=1_000)
    arguments = parser.parse_args()
    pods, services = arguments.pods, arguments.services
    raws: dict[str, Sequence[msgspec.Raw]] = {
        "pods": [pod(number, services) for number in range(pods)],
        "services": [service(number) for number in range(services)],
        "slices": [endpoint_slice(number, pods, services) for number in range(services)],
        "nodes": [node(number) for number in range(pods // _PODS_OF_A_NODE + 1)],
    }
    size = sum(len(bytes(each)) for kind in raws.values() for each in kind) / 1e6
    before = resident()
    index = KubernetesIndex()
    begin = time.process_time()
    build(index, raws)
    print(
        f"{pods:,} pods, {services:,} services, {size:.0f} MB of JSON: indexed in {time.process_time() - begin:.2f} s"
    )
    print(f"memory: {resident() - before:.1f} MB, {len(index.timeline):,} keys")

    begin = time.process_time()
    build(index, raws)
    print(f"the same listed again: {time.process_time() - begin:.2f} s")

    same = [Change(PODS.read(each), present=True) for each in raws["pods"][:1000]]
    moved = [pod(number, services, 1) for number in range(1000)]
    print(f"a pod that says the same: {median(lambda number: index.pods.apply([same[number]]), 1000):.1f} us")
    changed = median(lambda number: index.pods.apply([Change(PODS.read(moved[number]), present=True)]), 1000)
    print(f"a pod that has another address, decoded and indexed: {changed:.1f} us")

    selectors = [SERVICES.read(raws["services"][number]) for number in range(100)]
    gone = median(lambda number: index.services.apply([Change(selectors[number], present=False)]), 100)
    print(f"a service of {pods // services} pods that is gone: {gone:.0f} us")

    book, asking = KubernetesBook(index), Node("node-1", "east", 0, {})
    minute = int(time.time()) // 60
    for name, host, port in (
        ("a pod", address(0, pods - 1), 8080),
        ("a service", address(96, services - 1), 80),
        ("a port of a node", address(200, 1), 30000 + (services - 1) % 2768),
        ("nobody", "203.0.113.7", 443),
    ):
        assert (book.find(host, port, asking, minute) is None) == (name == "nobody")  # noqa: S101 - the measurement's own check
        times = [median(lambda _: book.find(host, port, asking, minute), 2000) for _ in range(3)]  # noqa: B023 - called at once
        print(f"asking for {name}: {min(times):.1f} us")


if __name__ == "__main__":
    main()
