"""agent/tls/file_systems.py: which files can be read without waiting for somebody else."""

import os
from pathlib import Path

import pytest

from agent.tls import file_systems
from agent.tls.file_systems import FileSystems
from agent.tls.mappings import mapped_files
from tests.agent.tls.building import tool
from tests.agent.tls.silence import needs_fuse, running, silent_files

MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a - nfs
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


@needs_fuse
def test_a_real_one(tmp_path: Path) -> None:
    cat = Path(tool("cat"))
    with silent_files(tmp_path, cat) as files, running(files.folder / "cat") as child:
        (device,) = {one.device for one in mapped_files("/proc", child.pid) if one.path == str(files.folder / "cat")}
        with files.silence():
            assert FileSystems().may_hang(device, child.pid)
