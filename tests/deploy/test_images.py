"""The images: built step by step in a bare Debian, and their programs started there.

Building takes minutes, most of them for packages of the distribution: it is left out unless PYROVER_TEST_IMAGES is set;
what can be told from the files alone is tested always.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.server.settings import Settings
from deploy.manifests.backend import USER
from tests.deploy.containerfile import Image, ImageError, built, instructions
from tests.deploy.rendering import DEPLOY, container, kustomized
from tests.e2e.programs import ROOT

IMAGES = DEPLOY / "images"
PROGRAMS = ("agent", "backend")

needs_images = pytest.mark.skipif(
    not os.environ.get("PYROVER_TEST_IMAGES"),
    reason="takes minutes: PYROVER_TEST_IMAGES=1 builds the image, as root, with mmdebstrap and a network",
)


def steps(program: str) -> list[tuple[str, str]]:
    return list(instructions((IMAGES / f"{program}.Containerfile").read_text()))


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_copied_is_there(program: str) -> None:
    for word, rest in steps(program):
        if word == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            assert target.startswith("/")
            for source in sources:
                assert (ROOT / source).exists(), source


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_depends_on_the_machine_that_builds(program: str) -> None:
    """So that the same file builds for each platform: the distribution's and the packages' own builds are taken."""
    text = (IMAGES / f"{program}.Containerfile").read_text()
    assert {rest.partition(" AS ")[0] for word, rest in steps(program) if word == "FROM"} == {"debian:12-slim"}
    assert re.search(r"pip install .*--require-hashes --only-binary :all:", text)
    assert not re.search(r"x86|aarch64|gcc|build-essential", text)


@pytest.mark.parametrize(("program", "kind"), [("agent", "DaemonSet"), ("backend", "Deployment")])
def test_images_start_what_the_manifests_start(program: str, kind: str) -> None:
    (command,) = [rest for word, rest in steps(program) if word == "CMD"]
    assert json.loads(command) == container(kustomized(DEPLOY), kind, f"pyrover-{program}")["command"]
    assert any(rest.endswith(f"/opt/pyrover/bin/pyrover-{program}") for word, rest in steps(program) if word == "COPY")
    assert os.access(IMAGES / f"pyrover-{program}", os.X_OK)


def test_the_backend_is_the_user_that_the_manifests_say() -> None:
    (user,) = [rest for word, rest in steps("backend") if word == "USER"]
    assert user == f"{USER}:{USER}"
    (ports,) = [rest for word, rest in steps("backend") if word == "EXPOSE"]
    assert ports.split() == [str(Settings().grpc_port), str(Settings().http_port)]
    variables = dict(rest.split("=", 1) for word, rest in steps("backend") if word == "ENV")
    mounts = {
        each["mountPath"] for each in container(kustomized(DEPLOY), "Deployment", "pyrover-backend")["volumeMounts"]
    }
    assert variables["PYROVER_BACKEND_DATA"] in mounts
    assert str(Path(variables["NUMBA_CACHE_DIR"]).parent) in mounts


@pytest.fixture(scope="module")
def agent_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    yield from _built("agent", tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="module")
def backend_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    yield from _built("backend", tmp_path_factory.mktemp("backend"))


def _built(program: str, folder: Path) -> Iterator[Image]:
    try:
        with built(IMAGES / f"{program}.Containerfile", folder) as image:
            yield image
    except ImageError as error:
        pytest.skip(str(error))


@needs_images
@pytest.mark.kernel
@pytest.mark.slow
def test_the_agent_runs_in_its_image(agent_image: Image) -> None:
    assert _programs(agent_image) == {"agent", "bpf", "common", "protos"}
    done = agent_image.run("pyrover-agent", "doctor", "--json")
    report = json.loads(done.stdout)
    assert report["can_run"] is True, report["findings"]
    (bcc,) = [finding for finding in report["findings"] if finding["name"] == "BCC"]
    assert bcc["good"] is True


@needs_images
@pytest.mark.slow
def test_the_backend_runs_in_its_image(backend_image: Image) -> None:
    assert _programs(backend_image) == {"backend", "common", "protos"}
    assert (backend_image.root / "opt/pyrover/programs/backend/console/vendor/echarts/index.js").exists()
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
    # Ready, it writes a line to its descriptor 3; then it is asked to end.
    script = (
        "exec 4>&1; "
        "pyrover-backend serve --host 127.0.0.1 --grpc-port 0 --http-port 0 --ready-fd 3 3>/tmp/ready & program=$!; "
        "while kill -0 $program && ! grep -q http /tmp/ready; do sleep 0.1; done; "
        "cat /tmp/ready >&4; kill $program; wait $program"
    )
    done = backend_image.run(*user, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert any("grpc" in line and "http" in line for line in done.stdout.splitlines()), done.stdout
    assert (backend_image.root / "data" / "metrics.duckdb").stat().st_uid == USER


def _programs(image: Image) -> set[str]:
    """Of our own in an image, which has nothing in it to build or install others with."""
    assert {path.name for path in (image.root / "opt/pyrover/bin").iterdir()} >= {"python"}
    for name in ("usr/bin/gcc", "usr/bin/pip", "usr/bin/pip3", "opt/pyrover/bin/pip"):
        assert not (image.root / name).exists(), name
    return {path.name for path in (image.root / "opt/pyrover/programs").iterdir()}
