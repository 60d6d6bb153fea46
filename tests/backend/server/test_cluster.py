"""A whole backend that watches a cluster."""

import json
from pathlib import Path

import grpc

from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests import patient
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.processes import ANY_PORTS, backend, start
from tests.common.kubernetes.api_server import TOKEN, ApiServer
from tests.common.kubernetes.manifests import pod, service
from tests.waiting import until

APP = {"app": "shop"}


def kubeconfig(folder: Path, url: str, token: str = TOKEN) -> str:
    file = folder / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    return str(file)


def counted(addresses: dict[str, str], name: str) -> float:
    """A value of /metrics, by its name with labels."""
    lines = patient.get(f"{addresses['http']}/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def call(address: str, remote: str) -> None:
    """A read by the service "front" on a connection that it made to an address."""
    made = message(read_log(), node="n", remote=remote)
    made.connection.local.kubernetes.serviceName = "front"
    made.connection.remote.ip.port = 80
    with grpc.insecure_channel(address) as channel:
        EBPFAccessLogServiceStub(channel).collect(iter([made]), timeout=120)


def called(addresses: dict[str, str]) -> set[str]:
    topology = patient.get(f"{addresses['http']}/api/topology", params={"start": "-15m"}).json()
    return {node["name"] for node in topology["nodes"]}


def test_addresses_of_a_cluster_have_the_names_of_its_services(tmp_path: Path) -> None:
    server = ApiServer()
    server.put("services", service("shop", "10.96.0.7", selector=APP))
    server.put("pods", pod("shop-1", "10.1.0.1", labels=APP))
    server.put("pods", pod("dns-1", "10.1.0.2", namespace="kube-system", labels=APP))
    server.put("services", service("dns", "10.96.0.10", namespace="kube-system", selector=APP))
    with server.serving() as url:
        environment = {
            "PYROVER_BACKEND_KUBERNETES_KUBECONFIG": kubeconfig(tmp_path, url),
            "PYROVER_BACKEND_KUBERNETES_CONTEXT": "here",
            "PYROVER_BACKEND_ENTITIES_EXCLUDED_NAMESPACES": "kube-system",
        }
        with backend(tmp_path / "data", environment=environment) as (process, addresses):
            for kind in ("pods", "services", "endpointslices", "nodes"):
                until(lambda kind=kind: counted(addresses, f'pyrover_kubernetes_lists_total{{kind="{kind}"}}') == 1)  # type: ignore[misc] # its own kind
            assert counted(addresses, 'pyrover_kubernetes_objects{kind="pods"}') == 2
            for remote in ("10.96.0.7", "10.1.0.1", "10.1.0.2", "192.0.2.1"):
                call(addresses["grpc"], remote)
            assert called(addresses) == {"front", "shop.default", "Unknown"}
            assert counted(addresses, 'pyrover_analysis_logs_dropped_total{cause="excluded"}') == 1
            assert counted(addresses, "pyrover_addresses_unknown_total") == 1
            assert counted(addresses, 'pyrover_addresses_missed_total{book="cluster",cause="never"}') == 1
            server.put("services", service("cart", "10.96.0.8", selector=APP))
            until(lambda: counted(addresses, 'pyrover_kubernetes_events_total{kind="services"}') == 1)
            call(addresses["grpc"], "10.96.0.8")
            assert "cart.default" in called(addresses)
            process.terminate()
            process.communicate(timeout=120)
            assert process.returncode == 0


def test_a_cluster_that_cannot_be_asked_is_a_clear_error(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "ftp://nowhere")
    environment = {"PYROVER_BACKEND_KUBERNETES_KUBECONFIG": file, "PYROVER_BACKEND_KUBERNETES_CONTEXT": "here"}
    process = start(*ANY_PORTS, "--data", str(tmp_path / "data"), environment=environment)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "must look like 'https://10.0.0.1:6443', not 'ftp://nowhere'" in error
