"""docs/backend-metrics.md names every figure that a backend tells of itself, with its kind and its labels."""

import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.backend.server.processes import ROOT, backend

PAGE = ROOT / "docs" / "backend-metrics.md"
_ROW = re.compile(
    r"^\| `(?P<name>[a-z0-9_]+)` \| (?P<kind>\w+) \|(?P<labels>[^|]*)\| (?P<meaning>.+) \|$", re.MULTILINE
)
_OF_PROGRAMS = ("python_", "process_")
_CLUSTER = """\
apiVersion: v1
kind: Config
clusters: [{name: nobody, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
contexts: [{name: nobody, context: {cluster: nobody, user: nobody}}]
current-context: nobody
"""
"""A cluster whose API server does not answer: what is told of watching one is told then, too."""


def named() -> dict[str, tuple[str, list[str]]]:
    """Kind and labels of each figure of the page, by name."""
    rows = list(_ROW.finditer(PAGE.read_text()))
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names)), "one row each"
    return {row["name"]: (row["kind"], re.findall(r"`(\w+)`", row["labels"])) for row in rows}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """What a backend tells in which everything is switched on that has figures of its own."""
    folder = tmp_path_factory.mktemp("backend")
    (folder / "cluster.yml").write_text(_CLUSTER)
    environment = {
        "PYROVER_BACKEND_LIMITS_JOURNAL_BYTES": "1000000",
        "PYROVER_BACKEND_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "PYROVER_BACKEND_KUBERNETES_WATCH": "always",
        "PYROVER_BACKEND_KUBERNETES_KUBECONFIG": str(folder / "cluster.yml"),
    }
    with (
        backend(folder / "data", environment=environment) as (_, addresses),
        urllib.request.urlopen(f"{addresses['http']}/metrics", timeout=120) as answer,  # noqa: S310 - always http
    ):
        families = list(text_string_to_metric_families(answer.read().decode()))
    return [
        family
        for family in families
        if not family.name.startswith(_OF_PROGRAMS) and not family.name.endswith("_created")
    ]


def name_of(family: Metric) -> str:
    """As Prometheus shows it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def test_the_page_names_every_figure_with_its_kind(told: list[Metric]) -> None:
    kinds = {name_of(family): family.type.replace("unknown", "untyped") for family in told}
    assert kinds == {name: kind for name, (kind, _) in named().items()}


def test_the_page_names_the_labels_of_each(told: list[Metric]) -> None:
    page = named()
    with_samples = [family for family in told if family.samples]
    assert len(with_samples) > len(told) / 2
    for family in with_samples:
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(page[name_of(family)][1]), family.name


def test_where_a_page_counts_by_label_the_label_is_one_of_the_figure() -> None:
    page = named()
    for other in sorted(Path(ROOT / "docs").glob("*.md")):
        for name, label in re.findall(r"\b(pyrover_\w+)\{(\w+)[=}\",]", other.read_text()):
            if name in page:
                assert label in page[name][1], f"{other.name}: {name}"
