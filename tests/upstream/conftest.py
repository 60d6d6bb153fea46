"""Both backends, with the same logs in them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.backend.query.graphql.documents import SWCTL_SERVICES
from tests.e2e.programs import PROGRAMS, ROOT, backend
from tests.upstream.asking import Asked
from tests.upstream.cluster import empty_cluster
from tests.upstream.entities import LAYER, Entity
from tests.upstream.oap import PERSISTED_SECONDS, Oap, oap
from tests.upstream.streams import write_logs
from tests.waiting import until

AS_UPSTREAM = {
    "COMPATIBILITY_SUMS_PER_STEP": "true",
    "COMPATIBILITY_EMPTY_RATES_ARE_ZERO": "true",
    "COMPATIBILITY_ZEROS_ARE_VALUES": "true",
    "ENTITIES_IGNORE_SAME_SERVICE": "true",
}
"""Settings with which this backend gives the values that SkyWalking gives."""
UNGROUPED = {"grouping": [], "automatic": False}
"""Rules of endpoints: each path is one of its own, as in SkyWalking without its service that recognises identifiers."""
COUNTED = "kubernetes_service_read_cpm"
"""Each log that is stored late counts in it, sooner or later."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests need SkyWalking's programs, which `make upstream-test` fetches."""
    if "PYROVER_UPSTREAM" not in os.environ:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="compares with SkyWalking's backend: make upstream-test"))


@dataclass(frozen=True)
class Pair:
    """Two backends with the same logs, and the span that these are of."""

    theirs: Asked
    ours: Asked
    duration: dict[str, str]


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Oap]:
    """SkyWalking's, for one test alone."""
    with empty_cluster() as cluster, oap(tmp_path, cluster) as running:
        yield running


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, once they have stored everything."""
    folder = tmp_path_factory.mktemp("pyrover")
    groups = folder / "groups.yml"
    groups.write_text(yaml.safe_dump(UNGROUPED))
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        theirs = stack.enter_context(oap(folder, stack.enter_context(empty_cluster())))
        for name, value in (AS_UPSTREAM | {"FILES_ENDPOINT_GROUPS": str(groups)}).items():
            environment.setenv(f"PYROVER_BACKEND_{name}", value)
        ours = stack.enter_context(backend(folder / "data", folder / "backend.log"))
        logs = folder / "all.logs"
        duration = write_logs(logs, folder)
        for address in (ours.grpc, theirs.grpc):
            send(logs, address)
        made = Pair(theirs.graphql, Asked(f"{ours.http}/graphql"), duration)
        until_stored(made)
        yield made


def until_stored(pair: Pair) -> None:
    """Wait until both have stored what they were sent. Neither says so; what is counted stays the same from then on."""
    counted: list[object] = []

    def is_calm() -> bool:
        theirs, ours = (_calls(backend, pair.duration) for backend in (pair.theirs, pair.ours))
        counted.append((theirs, ours))
        return theirs == ours and counted[-2:-1] == counted[-1:]

    until(is_calm, lambda: f"both have the same calls; last {counted[-2:]}", pause=2 * PERSISTED_SECONDS)


def _calls(backend: Asked, duration: dict[str, str]) -> dict[str, list[str | None]]:
    """What is counted of services, by name."""
    names = [service["name"] for service in backend.result(SWCTL_SERVICES, layer=LAYER)]
    asked: list[tuple[str, Entity]] = [(f"sum({COUNTED})", {"serviceName": name, "normal": True}) for name in names]
    answers = backend.expressions(asked, duration)
    return {
        name: [result["values"][0]["value"] for result in answer["results"]]
        for name, answer in zip(names, answers, strict=True)
    }


def send(logs: Path, address: str) -> None:
    """Send logs as they are; every stream is answered with OK."""
    command: list[str | Path] = [PROGRAMS / "pyrover-backend", "replay", "--no-shift-times", "--to", address, logs]
    subprocess.run(command, check=True, cwd=ROOT, timeout=500)
