"""agent/tls/mappings.py: which files processes run code from."""

import mmap
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.tls.mappings import Identity, identify, mapped_files, open_path, processes
from tests.agent.tls.overlays import overlay
from tests.agent.tls.watching import loaded

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to look at processes and to mount")


def mapped_here(path: Path) -> list[Identity]:
    return [
        identify(open_path("/proc", os.getpid(), mapped.begin, mapped.end))[0]
        for mapped in mapped_files("/proc", os.getpid())
        if mapped.path.removesuffix(" (deleted)") == str(path)
    ]


@needs_root
def test_a_library_is_found_while_it_is_loaded(tmp_path: Path, fake_library: Path) -> None:
    path = Path(shutil.copy(fake_library, tmp_path / "a library.so"))
    assert mapped_here(path) == []
    with loaded(path):
        assert mapped_here(path) == [identify(str(path))[0]]
        path.unlink()
        (found,) = mapped_here(path)
        assert found.inode
    assert mapped_here(path) == []


def test_what_is_not_executed_is_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(mmap.PAGESIZE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ):
        assert str(path) in Path("/proc/self/maps").read_text()
        assert str(path) not in {mapped.path for mapped in mapped_files("/proc", os.getpid())}


def test_processes_come_and_go() -> None:
    assert {1, os.getpid()} <= set(processes("/proc"))
    assert processes("/no such place") == []
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert list(mapped_files("/proc", child.pid)) == []


def test_only_files_have_an_identity(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null"), tmp_path / "nothing"):
        with pytest.raises(OSError, match=r".+"):
            identify(str(path))


def test_a_file_is_the_same_under_each_of_its_names(tmp_path: Path) -> None:
    path, other = tmp_path / "one", tmp_path / "two"
    path.write_text("one")
    os.link(path, other)
    identity, version = identify(str(path))
    assert identify(str(other)) == (identity, version)
    path.write_text("another")
    assert identify(str(path))[0] == identity
    assert identify(str(path))[1] != version
    shutil.copy(path, tmp_path / "copy")
    assert identify(str(tmp_path / "copy"))[0] != identity


@needs_root
def test_a_file_below_two_overlays_is_one_file(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    (lower / "library").write_text("text")
    with overlay(lower, tmp_path / "one") as one, overlay(lower, tmp_path / "two") as two:
        identity, _ = identify(str(one / "library"))
        assert identify(str(two / "library"))[0] == identity
        (one / "library").write_text("another text")
        assert identify(str(one / "library"))[0] != identity
