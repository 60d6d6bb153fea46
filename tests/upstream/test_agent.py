"""The agent sends what it sees to SkyWalking's backend, in place of Rover: what that stores equals what was done."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.programs import agent, finish, network_namespace, workload
from tests.e2e.test_exact_counts import CONFIGURATION, OPERATIONS, expected
from tests.upstream.asking import Asked
from tests.upstream.entities import Entity
from tests.upstream.oap import Oap
from tests.waiting import until

FAMILY: Final = "4"
CLOSED: Final = "kubernetes_service_close_cpm"
SIDED: Final = {counted: metric for counted, metric in OPERATIONS.items() if metric.startswith(("write", "read"))}
"""Of a relation each end has these."""


def totals(backend: Asked, names: list[str], entity: Entity) -> dict[str, int]:
    """Sums over some minutes of metrics that add up by the minute; without a value there is none."""
    now = time.time()
    start, end = (time.strftime("%Y-%m-%d %H%M", time.gmtime(now + 60 * by)) for by in (-15, 1))
    asked = [(f"sum({name})", entity) for name in names]
    answers = backend.expressions(asked, {"start": start, "end": end, "step": "MINUTE"})
    values = [answer["results"][0]["values"][0]["value"] for answer in answers if answer["results"]]
    assert len(values) == len(names)
    return {name: int(float(value)) for name, value in zip(names, values, strict=True) if value not in (None, "0")}


def has_closes(backend: Asked, service: Entity, closes: int) -> bool:
    """Whether it has stored so many closes of a service."""
    return totals(backend, [CLOSED], service).get(CLOSED, 0) >= closes


@pytest.mark.kernel
def test_what_it_stores_equals_what_was_done(theirs: Oap, tmp_path: Path) -> None:
    configuration = tmp_path / "agent.yaml"
    configuration.write_text(CONFIGURATION)
    services: dict[str, Entity] = {
        side: {"serviceName": f"e2e-{side}-{FAMILY}", "normal": True} for side in ("client", "server")
    }
    with (
        network_namespace(f"pyrover-{os.getpid()}-oap") as prefix,
        agent("--backend", theirs.grpc, "--config", configuration, "--flush-period", "200ms") as watching,
    ):
        with workload(prefix, FAMILY) as done:
            for side, service in services.items():
                closes = done[side]["closes"]
                until(partial(has_closes, theirs.graphql, service, closes), f"{closes} closes of the {side}", pause=0.2)
        finish(watching)

    for side, service in services.items():
        for kind, entity in (("service", service), ("service_instance", service | {"serviceInstanceName": "e2e-host"})):
            names = [f"kubernetes_{kind}_{metric}" for metric in OPERATIONS.values()]
            assert totals(theirs.graphql, names, entity) == expected(done[side], f"kubernetes_{kind}")

    client, server = (services[side]["serviceName"] for side in ("client", "server"))
    between: Entity = {"serviceName": client, "normal": True, "destServiceName": server, "destNormal": True}
    prefix_name = "kubernetes_service_relation"
    sided = {
        f"{prefix_name}_{side}_{metric}": done[side][counted] for side in done for counted, metric in SIDED.items()
    }
    assert totals(theirs.graphql, list(sided), between) == sided
