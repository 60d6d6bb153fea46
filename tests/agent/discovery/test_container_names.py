import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery import container_names
from agent.discovery.container_names import ContainerNames
from agent.discovery.naming import Identity, Naming
from agent.discovery.procfs import ProcHost
from tests.agent.discovery.control_groups import control_group, enter
from tests.agent.discovery.test_cgroups import ID, KIND, SHORT
from tests.agent.synthetic import facts

DOCKER = f"var/lib/docker/containers/{ID}/config.v2.json"
STORAGE = "var/lib/containers/storage/overlay-containers/containers.json"
BUNDLES = "run/containerd/io.containerd.runtime.v2.task"


def write(root: Path, path: str, content: object) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (DOCKER, {"ID": ID, "Name": "/web", "Config": {"Image": "nginx"}}),
        (STORAGE, [{"id": KIND, "names": ["other"]}, {"id": ID, "names": ["web", "alias"], "layer": "x"}]),
        (f"{BUNDLES}/default/{ID}/config.json", {"ociVersion": "1.1.0", "annotations": {"nerdctl/name": "web"}}),
        (f"{BUNDLES}/k8s.io/{ID}/config.json", {"annotations": {"io.kubernetes.cri.container-name": "web"}}),
        (f"{BUNDLES}/k8s.io/{ID}/config.json", {"annotations": {"io.kubernetes.container.name": "web"}}),
    ],
)
def test_names_of_each_engine(tmp_path: Path, path: str, content: object) -> None:
    write(tmp_path, path, content)
    assert ContainerNames(tmp_path).name(ID) == "web"
    assert ContainerNames(tmp_path).name("f" * 64) == ""


@pytest.mark.parametrize("path", [DOCKER, STORAGE, f"{BUNDLES}/default/{ID}/config.json"])
@pytest.mark.parametrize(
    "content", [{}, [], None, {"Name": 5}, [{"id": ID}], [{"id": ID, "names": []}], {"annotations": 1}]
)
def test_files_that_tell_no_name(tmp_path: Path, path: str, content: object) -> None:
    write(tmp_path, path, content)
    assert ContainerNames(tmp_path).name(ID) == ""


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file_without_a_name(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("root")
    for path in (DOCKER, STORAGE, f"{BUNDLES}/default/{ID}/config.json"):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(content)
    assert ContainerNames(root).name(ID) == ""


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, DOCKER, {"Name": "/web"})
    monkeypatch.setattr(container_names, "LARGEST_FILE", 5)
    assert ContainerNames(tmp_path).name(ID) == ""


def test_the_name_stands_where_the_id_stood() -> None:
    plain = facts(1, "/usr/bin/java", cgroups=[f"/docker/{ID}"])
    named = type(plain)(**{name: getattr(plain, name) for name in plain.__struct_fields__} | {"container_name": "web"})
    assert Naming("node-1").identify(plain, ()) == Identity(SHORT, "node-1", SHORT, "java")
    assert Naming("node-1").identify(named, ()) == Identity("web", "node-1", "web", "java")


def test_a_real_process_in_a_real_control_group(tmp_path: Path) -> None:
    write(tmp_path, DOCKER, {"Name": "/web"})
    base = f"/pyrover-names-{os.getpid()}"
    with (
        control_group(1, f"{base}/docker/{ID}") as group,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
    ):
        enter(group, process.pid)
        found = ProcHost(containers=ContainerNames(tmp_path)).process(process.pid)
        process.communicate()
    assert found is not None
    assert found.container_name == "web"
