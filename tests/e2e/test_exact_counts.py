"""A known workload on the real kernel, through agent and backend: what is stored equals what was done.

The workload runs in a network namespace of its own, where the kernel's own counters know of nothing else; they are
the second source.
"""

import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from backend.entities import ids
from tests.e2e.programs import Backend, agent, finish, network_namespace, workload

CONFIGURATION = r"""
discovery:
  service_rules:
    - {command_line: 'e2e/workload\.py (client|server) (\w+)', service: 'e2e-\1-\2'}
node: {name: e2e-host}
"""
FAMILIES = ("4", "6", "mapped")
OPERATIONS = {
    "connects": "connect_cpm",
    "successful_connects": "connect_success_cpm",
    "accepts": "accept_cpm",
    "closes": "close_cpm",
    "writes": "write_cpm",
    "bytes_written": "write_package_size",
    "reads": "read_cpm",
    "bytes_read": "read_package_size",
}
CONNECTIONS = 23
SYN_AND_FIN = 1  # sequence number that TCP_INFO counts beside the payload, per connection


def snmp(prefix: list[str]) -> dict[str, int]:
    """The Tcp counters of /proc/net/snmp."""
    text = subprocess.run([*prefix, "cat", "/proc/net/snmp"], check=True, capture_output=True, text=True).stdout
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    return dict(zip(names, map(int, values), strict=True))


def expected(totals: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {f"{prefix}_{metric}": totals[done] for done, metric in OPERATIONS.items() if done in totals}


def service_id(name: str) -> str:
    return ids.service_id(name)


def _has_reached(store: Backend, entity: str, name: str, count: int) -> bool:
    return store.totals([name], entity).get(name, 0) >= count


def until_closed(store: Backend, closes: Mapping[str, int]) -> None:
    """Wait until the last logs of services are stored: an agent that is stopped has only five seconds for them."""
    name = "kubernetes_service_close_cpm"
    for entity, count in closes.items():
        reached = partial(_has_reached, store, entity, name, count)
        store.until(f"{count} closes", reached)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.kernel
def test_what_is_stored_equals_what_was_done(family: str, store: Backend, tmp_path: Path) -> None:
    configuration = tmp_path / "agent.yaml"
    configuration.write_text(CONFIGURATION)
    with network_namespace(f"pyrover-{os.getpid()}-{family}") as prefix:
        with agent("--backend", store.grpc, "--config", configuration, "--flush-period", "200ms") as watching:
            with workload(prefix, family) as done:
                until_closed(store, {service_id(f"e2e-{side}-{family}"): done[side]["closes"] for side in done})
            finish(watching)
        counters = snmp(prefix)
    client, server = done["client"], done["server"]
    client_id, server_id = (service_id(f"e2e-{side}-{family}") for side in ("client", "server"))

    # Both services, both instances: every operation, no more and no less.
    for side, entity in (("client", client_id), ("server", server_id)):
        for kind, owner in (("service", entity), ("service_instance", ids.instance_id(entity, "e2e-host"))):
            names = [f"kubernetes_{kind}_{metric}" for metric in OPERATIONS.values()]
            assert store.totals(names, owner) == expected(done[side], f"kubernetes_{kind}")

    # The relation, from both sides.
    relation = ids.service_relation_id(client_id, server_id)
    instances = ids.instance_relation_id(ids.instance_id(client_id, "e2e-host"), ids.instance_id(server_id, "e2e-host"))
    for prefix_name, entity in (
        ("kubernetes_service_relation", relation),
        ("kubernetes_service_instance_relation", instances),
    ):
        sided = {
            f"{prefix_name}_{side}_{metric}": done[side][counted]
            for side in ("client", "server")
            for counted, metric in OPERATIONS.items()
            if metric.startswith(("write", "read"))
        }
        sided |= {
            # The refused port belongs to nobody: that attempt is a relation with Unknown.
            f"{prefix_name}_connect_cpm": client["connects"] - 1,
            f"{prefix_name}_connect_success_cpm": client["successful_connects"],
            f"{prefix_name}_accept_cpm": server["accepts"],
            f"{prefix_name}_close_cpm": client["closes"] + server["closes"],
        }
        assert store.totals(list(sided), entity) == sided
    unknown = ids.service_relation_id(client_id, service_id("Unknown"))
    assert store.totals(["kubernetes_service_relation_connect_cpm"], unknown) == {
        "kubernetes_service_relation_connect_cpm": 1
    }

    # The second source: the kernel's counters of this namespace, and of each connection.
    assert counters["ActiveOpens"] == client["connects"]
    assert counters["AttemptFails"] == client["connects"] - client["successful_connects"]
    assert client["kernel_bytes_acked"] == client["bytes_written"] + CONNECTIONS * SYN_AND_FIN
    assert client["kernel_bytes_received"] == client["bytes_read"]
    assert server["kernel_bytes_received"] == server["bytes_read"] + CONNECTIONS * SYN_AND_FIN

    # Both services, and only with what they did.
    services = {service["name"] for service in store.get("/api/services", start="-15m")["services"]}
    assert {f"e2e-client-{family}", f"e2e-server-{family}"} <= services
