"""docs/install-kubernetes.md and docs/install-host.md, beside what is there."""

import re

from agent.kernel.privileges import CAPABILITIES
from tests.deploy.rendering import CHART, DEPLOY, read
from tests.e2e.programs import ROOT

KUBERNETES = (ROOT / "docs" / "install-kubernetes.md").read_text()
HOST = (ROOT / "docs" / "install-host.md").read_text()


def test_every_capability_is_explained() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", KUBERNETES, re.MULTILINE)
    assert rows == [(each.name.removeprefix("CAP_"), each.use, each.kept) for each in CAPABILITIES]


def test_what_is_named_is_there() -> None:
    for text in (KUBERNETES, HOST):
        for path in re.findall(r"\b(?:deploy|tests)/[\w./-]*\w", text):
            assert (ROOT / path).exists(), path
        for path in re.findall(r"\]\(([\w-]+\.md)\)", text):
            assert (ROOT / "docs" / path).exists(), path


def test_folders_that_are_applied_are_kustomizations() -> None:
    folders = re.findall(r"kubectl apply -k (\S+[a-z])", KUBERNETES)
    assert folders == ["deploy", "deploy/single", "deploy/kubernetes/monitoring"]
    for folder in folders:
        (kustomization,) = read(ROOT / folder / "kustomization.yaml")
        assert kustomization["resources"]


def test_images_have_the_version_of_the_program() -> None:
    (chart,) = read(CHART / "Chart.yaml")
    for folder in (DEPLOY, *(DEPLOY / name for name in ("single", "secured", "secured-single"))):
        (kustomization,) = read(folder / "kustomization.yaml")
        assert {image["newTag"] for image in kustomization["images"]} == {chart["appVersion"]}
    files = [*(DEPLOY / "images").glob("*.Containerfile"), ROOT / "docs" / "install-kubernetes.md"]
    for file in files:
        assert set(re.findall(r"pyrover-(?:agent|backend):([\d.]+\d)", file.read_text())) == {chart["appVersion"]}
