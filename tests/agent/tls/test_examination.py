"""agent/tls/examination.py: file systems that may not answer and have files that are run."""

from pathlib import Path

import pytest

from agent.tls.examination import Doubtful, examine_file_systems
from tests.agent.tls.building import tool
from tests.agent.tls.overlays import overlay
from tests.agent.tls.silence import needs_fuse, running, silent_files

MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:30 / /net/a\\040share rw - nfs4 server:/export rw
24 22 0:31 / /net/old rw - fuse  rw
25 22 0:32 / /layers rw - overlay overlay rw,lowerdir=/srv:/net/old
26 22 0:33 / /unused rw - nfs4 server:/other rw
27 22 0:34 / /memory rw - tmpfs memory rw
28 22 0:30 /inner /also rw - nfs4 server:/export rw
"""
FILE = "{begin:x}-{end:x} {rights} 00000000 {device} 77 {path}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mountinfo").write_text(MOUNTS)
    return tmp_path


def add_process(root: Path, number: int, *devices: str, rights: str = "r-xp") -> None:
    folder = root / str(number)
    folder.mkdir(exist_ok=True)
    lines = [
        FILE.format(begin=(at + 1) << 16, end=(at + 2) << 16, rights=rights, device=device, path=f"/any/{at}")
        for at, device in enumerate(devices)
    ]
    (folder / "maps").write_text("".join(lines))


def test_each_is_named_once_with_its_processes(root: Path) -> None:
    add_process(root, 1, "08:01", "00:22")
    add_process(root, 2, "00:1f", "00:1f", "08:01")
    add_process(root, 3, "00:1f", "00:1e")
    add_process(root, 4, "00:20")
    add_process(root, 5, "00:99")
    add_process(root, 6, "00:21", rights="r--p")  # it runs nothing of it
    assert examine_file_systems(str(root)) == [
        Doubtful("/net/old (fuse, no source)", 2),
        Doubtful("/layers (overlay, overlay)", 1),
        Doubtful("/net/a share (nfs4, server:/export)", 1),
        Doubtful("device 00:99, mounted where this process cannot see it", 1),
    ]


def test_there_is_none(root: Path) -> None:
    add_process(root, 1, "08:01", "00:22")
    assert examine_file_systems(str(root)) == []


@needs_fuse
def test_real_ones_are_not_touched(tmp_path: Path) -> None:
    with silent_files(tmp_path, Path(tool("cat"))) as files:
        program = files.folder / "cat"
        with (
            overlay(files.folder, tmp_path / "container") as merged,
            running(program),
            running(program),
            running(merged / "cat"),
            files.silence(),
        ):
            # Who touches them waits until the silence is over, which is after this.
            found = {one for one in examine_file_systems() if str(tmp_path) in one.name}
    plain = Doubtful(f"{files.folder} (fuse.silent, silent)", 2)
    layered = Doubtful(f"{merged} (overlay, overlay)", 1)
    below = Doubtful(plain.name, 3)  # Linux before 6.8 shows what is run as a file of the layer
    assert found in ({plain, layered}, {below})
