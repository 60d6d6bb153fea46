"""agent/tls/file_systems.py: which files can be read without waiting for somebody else."""

import os
import shutil
import time
from pathlib import Path

import pytest

from agent.tls import file_systems
from agent.tls.file_systems import FileSystems
from agent.tls.mappings import mapped_files
from tests.agent.tls.building import tool
from tests.agent.tls.overlays import in_memory, overlay
from tests.agent.tls.silence import needs_fuse, running, silent_files

MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - zfs pool rw,xattr
23 22 0:{minor} /export /srv rw,relatime shared:2 master:3 - {kind} server:/export rw,addr=10.0.0.1
24 22 8:1 / /boot rw - ext4 /dev/sda1 rw
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for process in (1, 7):
        (tmp_path / str(process)).mkdir()
    show(tmp_path, 1, "nfs4", 300)
    return tmp_path


def show(root: Path, process: int, kind: str, minor: int) -> None:
    (root / str(process) / "mountinfo").write_text(MOUNTS.format(kind=kind, minor=minor))


@pytest.mark.parametrize(
    ("device", "may_hang"),
    [
        ("08:01", False),
        ("fe:00", False),  # no mount is listed, and it is a disk
        ("00:15", False),
        ("00:12c", True),
        ("00:99", True),  # nobody knows what that is
    ],
)
def test_by_device(root: Path, device: str, may_hang: bool) -> None:  # noqa: FBT001 # a parameter of pytest
    assert FileSystems(str(root)).may_hang(device, 7) == may_hang


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "fuse", "fuse.sshfs", "lustre"]
)
def test_kinds_with_somebody_else_behind_them(root: Path, kind: str) -> None:
    show(root, 1, kind, 300)
    assert FileSystems(str(root)).may_hang("00:12c", 7)


@pytest.mark.parametrize("kind", sorted(file_systems.LOCAL))
def test_kinds_of_this_machine_alone(root: Path, kind: str) -> None:
    show(root, 1, kind, 300)
    assert not FileSystems(str(root)).may_hang("00:12c", 7)


def test_what_is_mounted_for_one_process_only(root: Path) -> None:
    show(root, 7, "tmpfs", 301)
    telling = FileSystems(str(root))
    assert telling.may_hang("00:12d", 8)
    assert not telling.may_hang("00:12d", 7)


def test_a_number_that_comes_back_as_that_of_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    telling = FileSystems(str(root))
    show(root, 1, "tmpfs", 300)
    assert not telling.may_hang("00:12c", 7)
    show(root, 1, "nfs", 300)
    assert not telling.may_hang("00:12c", 7)
    monkeypatch.setattr(file_systems, "KEPT_SECONDS", -1.0)
    assert telling.may_hang("00:12c", 7)


def test_what_this_process_has_mapped() -> None:
    telling = FileSystems()
    devices = {mapped.device for mapped in mapped_files("/proc", os.getpid())}
    assert devices
    assert not any(telling.may_hang(device, os.getpid()) for device in devices)


LAYERED = """\
22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw
23 22 0:30 / /mnt rw,relatime - nfs4 server:/export rw
24 22 0:31 / /mnt/memory rw,relatime - tmpfs memory rw
25 22 0:32 / /mnt/a\\040:b rw,relatime - fuse.sshfs server: rw
26 22 0:40 / /under rw,relatime - overlay overlay rw,lowerdir=/srv/1
27 22 0:41 / /under/remote rw,relatime - overlay overlay rw,lowerdir=/mnt/1
28 22 0:42 / /merged rw,relatime - overlay overlay rw,{layers}
"""
LAYERED_DEVICE = "00:2a"


@pytest.mark.parametrize(
    ("layers", "may_hang"),
    [
        ("lowerdir=/srv/1:/srv/2,upperdir=/srv/up,workdir=/srv/work", False),
        ("lowerdir=/srv/1:/mnt/memory/2,upperdir=/srv/up,workdir=/srv/work", False),
        ("lowerdir=/srv/1::/mnt/memory,redirect_dir=nofollow", False),
        ("lowerdir=/", False),
        ("lowerdir=/mnt2", False),
        ("lowerdir=/mnt", True),
        ("lowerdir=/srv/1:/srv/2:/mnt/3,upperdir=/srv/up,workdir=/srv/work", True),
        ("lowerdir=/srv/1::/mnt/3", True),
        ("lowerdir=/srv/1,upperdir=/mnt/up,workdir=/mnt/work", True),
        ("lowerdir+=/srv/1,lowerdir+=/mnt/1", True),
        ("lowerdir+=/srv/1,datadir+=/mnt/1", True),
        ("lowerdir+=/srv/1,datadir+=/srv/2", False),
        ("lowerdir=/srv/../mnt/1", True),
        ("lowerdir=/mnt/memory/../1", True),
        ("lowerdir=/srv/1:/mnt/memory/a\\040\\134:b/1", False),
        ("lowerdir=/srv/1:/mnt/a\\040\\134:b/1,upperdir=/srv/up", True),
        ("lowerdir=/srv/1:/mnt/memory\\054/1", True),  # a comma of its name: it is another folder
        ("lowerdir=1/fs:2/fs,upperdir=/srv/up,workdir=/srv/work", True),  # wherever that is
        ("lowerdir=/srv/1:2/fs", True),
        ("relatime", True),  # nobody knows of what it is made
        ("lowerdir=/under/1", False),
        ("lowerdir=/srv/1:/under/remote/1", True),
        ("lowerdir=/merged/1", True),  # it hides what it was made of
    ],
)
def test_what_is_made_of_layers(root: Path, layers: str, may_hang: bool) -> None:  # noqa: FBT001 # as above
    (root / "1" / "mountinfo").write_text(LAYERED.format(layers=layers))
    assert FileSystems(str(root)).may_hang(LAYERED_DEVICE, 7) == may_hang


def test_layers_that_only_another_process_sees(root: Path) -> None:
    mounts = LAYERED.format(layers="lowerdir=/srv/1")
    (root / "7" / "mountinfo").write_text(mounts)
    telling = FileSystems(str(root))
    assert telling.may_hang(LAYERED_DEVICE, 7)
    assert not telling.may_hang("00:1f", 7)
    (root / "1" / "mountinfo").write_text(mounts)
    assert not FileSystems(str(root)).may_hang(LAYERED_DEVICE, 7)


def test_what_was_seen_elsewhere_is_not_believed_longer_while_others_are_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(root, 7, "tmpfs", 301)
    telling = FileSystems(str(root))
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert not telling.may_hang("00:12d", 7)
    show(root, 7, "nfs", 301)
    for _ in range(4):
        now += file_systems.KEPT_SECONDS / 3
        assert telling.may_hang("00:99", 8)
    assert telling.may_hang("00:12d", 7)


def device_of(process: int, path: Path) -> str:
    """Of a file that a process has mapped."""
    (device,) = {one.device for one in mapped_files("/proc", process) if one.path == str(path)}
    return device


def skip_unless_process_1_sees(place: Path) -> None:
    if str(place) not in Path("/proc/1/mountinfo").read_text():
        pytest.skip("process 1 has mounts of its own")


def test_a_real_overlay_in_memory(tmp_path: Path) -> None:
    with in_memory(tmp_path / "files: these") as lower:
        shutil.copy(tool("cat"), lower)
        with overlay(Path(str(lower).replace(":", r"\:")), tmp_path / "container") as merged:
            skip_unless_process_1_sees(merged)
            program = merged / "cat"
            with running(program) as child:
                assert not FileSystems().may_hang(device_of(child.pid, program), child.pid)


@needs_fuse
def test_a_real_overlay_of_files_that_fall_silent(tmp_path: Path) -> None:
    with silent_files(tmp_path, Path(tool("cat"))) as files, overlay(files.folder, tmp_path / "container") as merged:
        skip_unless_process_1_sees(merged)
        program = merged / "cat"
        with running(program) as child:
            device = device_of(child.pid, program)
            with files.silence():
                assert FileSystems().may_hang(device, child.pid)


@needs_fuse
def test_a_real_one(tmp_path: Path) -> None:
    cat = Path(tool("cat"))
    with silent_files(tmp_path, cat) as files, running(files.folder / "cat") as child:
        (device,) = {one.device for one in mapped_files("/proc", child.pid) if one.path == str(files.folder / "cat")}
        with files.silence():
            assert FileSystems().may_hang(device, child.pid)
