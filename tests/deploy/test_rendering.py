"""What is made of the declarations is what is there, for both ways of installing, and is what the API server takes."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.manifests.render import files
from tests.deploy.rendering import CHART, DEPLOY, NAMESPACE, charted, kustomized

KUBERNETES = ("1.30", "1.34", "1.37")
"""The oldest that is supported, and later ones."""

SINGLE = {"backend__storage": "duckdb"}
SECURED = {"security__tokens": "files", "security__tls": "files"}


def key(each: dict[str, Any]) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def without_namespaces(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name; Helm leaves it to the API server in which namespace they are, and makes none."""
    for each in objects:
        each["metadata"].pop("namespace", None)
    found = {key(each): each for each in objects if each["kind"] != "Namespace"}
    assert len(found) == len([each for each in objects if each["kind"] != "Namespace"])
    return found


def test_the_files_are_what_is_declared() -> None:
    made = files()
    for path, text in made.items():
        assert (DEPLOY / path).read_text() == text, f"{path}: run python -m deploy.manifests.render"
    there = {path.relative_to(DEPLOY) for name in ("kubernetes", "chart") for path in (DEPLOY / name).rglob("*.*")}
    assert there == set(made)


@pytest.mark.parametrize(
    ("folder", "values"),
    [("", {}), ("single", SINGLE), ("secured", SECURED), ("secured-single", {**SECURED, **SINGLE})],
)
def test_both_ways_install_the_same(folder: str, values: dict[str, str]) -> None:
    by_kustomize = without_namespaces(kustomized(DEPLOY / folder))
    by_helm = without_namespaces(charted(**values))
    assert by_helm == by_kustomize
    assert len(by_helm) == (9 if "single" in folder else 14)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize(
    "values",
    [
        {},
        SINGLE,
        SECURED,
        {"security__tokens": "files"},
        {"agent__seccompProfile": {"type": "Localhost", "localhostProfile": "pyrover-agent.json"}},
        {"agent__tolerations": [], "agent__nodeSelector": {}, "agent__resources": {}},
    ],
)
def test_the_api_takes_them(version: str, values: dict[str, Any]) -> None:
    for each in charted(**values):
        kubernetes_validate.validate(each, version, strict=True)


def test_the_check_refuses_what_is_wrong() -> None:
    wrongs: list[dict[str, Any]] = [{"hostPid": True}, {"tolerations": {}}, {"containers": None}]
    for wrong in wrongs:
        objects = charted()
        (agents,) = [each for each in objects if each["kind"] == "DaemonSet"]
        agents["spec"]["template"]["spec"] |= wrong
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(agents, KUBERNETES[0], strict=True)


def test_what_is_not_wanted_is_not_there() -> None:
    everything = {key(each) for each in charted(podMonitor__enabled=True)}
    assert {name for kind, name in everything if kind == "PodMonitor"} == {"pyrover-agent", "pyrover-backend"}
    assert {name for _, name in everything} == {"pyrover-agent", "pyrover-backend", "clickhouse"}
    for program, name in (("agent", "pyrover-agent"), ("backend", "pyrover-backend"), ("clickhouse", "clickhouse")):
        left = {key(each) for each in charted(**{f"{program}__enabled": False})}
        assert {own for _, own in everything} - {own for _, own in left} == {name}
    assert charted(agent__enabled=False, backend__enabled=False, clickhouse__enabled=False) == []


def test_values_arrive() -> None:
    objects = charted(
        backend__image__repository="registry.example/backend",
        backend__image__tag="7",
        backend__replicas=5,
        clickhouse__enabled=False,
        clickhouse__host='store"quoted',
        clickhouse__port=9440,
    )
    (backends,) = [each for each in objects if each["kind"] == "Deployment"]
    assert backends["spec"]["replicas"] == 5
    (container,) = backends["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/backend:7"
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given["PYROVER_BACKEND_STORE_CLICKHOUSE_HOST"] == 'store"quoted'
    assert given["PYROVER_BACKEND_STORE_CLICKHOUSE_PORT"] == "9440"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl, for the kustomize in it")
@pytest.mark.parametrize("folder", ["", "single", "secured", "secured-single", "kubernetes/monitoring"])
def test_kustomize_makes_the_same(folder: str) -> None:
    answer = subprocess.run(["kubectl", "kustomize", DEPLOY / folder], capture_output=True, text=True, check=True)
    theirs = {key(each): each for each in yaml.safe_load_all(answer.stdout)}
    assert theirs == {key(each): each for each in kustomized(DEPLOY / folder)}


@pytest.mark.skipif(not shutil.which("helm"), reason="needs helm")
@pytest.mark.parametrize(
    "values", [{}, SINGLE, SECURED, {"podMonitor__enabled": True}, {"clickhouse__host": "a'b", "backend__replicas": 3}]
)
def test_helm_makes_the_same(values: dict[str, Any], tmp_path: Path) -> None:
    settings = [f"--set-json={name.replace('__', '.')}={json.dumps(value)}" for name, value in values.items()]
    release: list[str | Path] = ["helm", "template", "test", CHART, "--namespace", NAMESPACE]
    command = [*release, "--kube-version", "1.30.0", *settings]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    theirs = {key(each): each for each in yaml.safe_load_all(answer.stdout) if each}
    assert theirs == {key(each): each for each in charted(**values)}
    subprocess.run(["helm", "lint", "--strict", CHART], capture_output=True, check=True)
