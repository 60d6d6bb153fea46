"""Programs and libraries of containers: told as files of an overlay, and maybe listed as those of its layers."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agent.kernel import bpf_maps
from agent.tls import watcher as watcher_module
from agent.tls.mapped_files import NewMapping
from agent.tls.mappings import Mapped, identify, mapped_files
from agent.tls.watcher import TlsWatcher
from tests.agent.tls.building import tool
from tests.agent.tls.overlays import overlay
from tests.agent.tls.test_watcher import PROGRAMS, NotingKernel, is_attached, running, using
from tests.waiting import until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to look at the files of processes"),
]

NEVER_SECONDS = 86_400.0
PROGRAM, LIBRARY = "a program", "a library.so"


@pytest.fixture
def container(tmp_path: Path, fake_library: Path) -> Iterator[Path]:
    """The folder of an overlay with a program and a library."""
    lower = tmp_path / "lower"
    lower.mkdir()
    shutil.copy(tool("sleep"), lower / PROGRAM)
    shutil.copy(fake_library, lower / LIBRARY)
    with overlay(lower, tmp_path / "container") as merged:
        yield merged


@pytest.fixture(params=["as this kernel lists files", "as Linux before 6.8 lists them"])
def watcher(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    container: Path,
    mapping_maps: Mapping[str, int],
) -> Iterator[TlsWatcher]:
    """One that has looked at everything, and does not again."""

    def of_layers(root: str, process: int) -> Iterator[Mapped]:
        for mapped in mapped_files(root, process):
            path = Path(mapped.path)
            if path.parent == container:
                below = (tmp_path / "lower" / path.name).stat()
                device = f"{os.major(below.st_dev):02x}:{os.minor(below.st_dev):02x}"
                yield replace(mapped, device=device, inode=below.st_ino)
            else:
                yield mapped

    if request.param.startswith("as Linux"):
        monkeypatch.setattr(watcher_module, "mapped_files", of_layers)
    one = TlsWatcher(PROGRAMS, attacher=NotingKernel(), maps=mapping_maps, review_seconds=NEVER_SECONDS)
    with running(one):
        yield one
        assert one.reviews == 1


def is_known(maps: Mapping[str, int], path: Path) -> bool:
    """Whether the kernel was told not to tell of a file again."""
    inode, (_, content) = path.stat().st_ino, identify(str(path))
    known = (NewMapping(0, version) for version in bpf_maps.keys(maps["known_files"]))
    return any((mapping.inode, mapping.content) == (inode, content) for mapping in known)


def test_a_library_of_a_container_has_its_probes_when_it_is_loaded(
    watcher: TlsWatcher, container: Path, mapping_maps: Mapping[str, int]
) -> None:
    library = container / LIBRARY
    assert not is_known(mapping_maps, library)
    with using(library):
        until(lambda: is_attached(watcher, library))
        until(lambda: is_known(mapping_maps, library))


def test_a_program_of_a_container_is_told_once(
    watcher: TlsWatcher, container: Path, mapping_maps: Mapping[str, int]
) -> None:
    program = container / PROGRAM
    assert not is_known(mapping_maps, program)
    with subprocess.Popen([program, "infinity"]) as child:
        until(lambda: is_known(mapping_maps, program))
        child.kill()
    assert not is_attached(watcher, program)
