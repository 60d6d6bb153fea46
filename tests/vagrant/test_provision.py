"""Provisioning a bare Debian 12 makes it a machine to work on, and doing so again changes nothing."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.vagrant.machine import CHECKOUT, USER, Machine

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

PACKAGES = {"make", "python3-bpfcc", "python3-venv", "chromium", "chromium-driver", "clang-format", "iproute2"}
MOUNTS = {("tracefs", "/sys/kernel/tracing"), ("bpf", "/sys/fs/bpf")}
READY = "provision: ready: cd /pyrover, then 'sudo make test' or 'make run'"


def installed(machine: Machine) -> set[str]:
    lines = machine.said("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n").splitlines()
    return {name for name, status in (line.split() for line in lines) if status == "installed"}


def mounted(machine: Machine) -> set[tuple[str, str]]:
    lines = machine.said("findmnt", "--raw", "--noheadings", "--output", "FSTYPE,TARGET").splitlines()
    return {(kind, target) for kind, target in (line.split(" ", 1) for line in lines)}


def files(root: Path) -> dict[str, tuple[int, ...]]:
    """What would differ if a file had been written, made, removed or given to somebody else."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            status = (path := Path(folder, name)).lstat()
            written = () if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
            found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, *written)
    return found


@pytest.fixture(scope="module")
def output(machine: Machine) -> str:
    """What the first run said; the machine was bare before."""
    assert not installed(machine) & PACKAGES
    assert not mounted(machine) & MOUNTS
    done = machine.provision()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def provisioned(machine: Machine, output: str) -> Machine:
    assert output
    return machine


def test_it_says_what_it_did_and_what_the_kernel_offers(output: str) -> None:
    lines = output.splitlines()
    for step in ("installing make", "mounting tracefs at /sys/kernel/tracing", "mounting bpf at /sys/fs/bpf"):
        assert f"provision: {step}" in lines
    findings = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[1] in {"yes", "no"}]
    expected = [
        "kernel",
        "privileges",
        "BTF",
        "tracefs",
        "BCC",
        "kprobes",
        "fentry",
        "uprobes",
        "conntrack",
        "programs",
    ]
    assert findings == expected
    assert lines[-1] == READY


def test_what_the_targets_need_is_there(provisioned: Machine) -> None:
    assert installed(provisioned) >= PACKAGES
    assert mounted(provisioned) >= MOUNTS


def test_the_checkout_belongs_to_its_user(provisioned: Machine) -> None:
    assert provisioned.said("find", str(CHECKOUT), "!", "-user", USER) == ""
    assert provisioned.said("find", str(CHECKOUT / ".venv" / "bin" / "python"))


def test_the_agent_can_run_there(provisioned: Machine) -> None:
    findings = json.loads(provisioned.said(str(CHECKOUT / ".venv" / "bin" / "pyrover-agent"), "doctor", "--json"))
    assert findings["can_run"]
    (tracefs,) = (finding["text"] for finding in findings["findings"] if finding["name"] == "tracefs")
    assert tracefs == "mounted at /sys/kernel/tracing"


def test_its_user_can_run_the_tests(provisioned: Machine) -> None:
    said = provisioned.said("make", "--directory", str(CHECKOUT), "test", "TESTS=tests/common", user=USER)
    assert " passed" in said
    assert "setup: " not in said


def test_a_second_run_changes_nothing(provisioned: Machine) -> None:
    before = files(provisioned.root), mounted(provisioned)
    done = provisioned.provision()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [line for line in done.stdout.splitlines() if line.startswith("provision: ")] == [READY]
    after = files(provisioned.root), mounted(provisioned)
    assert {name for name, what in after[0].items() ^ before[0].items()} == set()
    assert after[1] == before[1]


def test_what_is_missing_comes_back(provisioned: Machine) -> None:
    provisioned.said("umount", "/sys/kernel/tracing")
    provisioned.said("dpkg", "--remove", "clang-format")
    provisioned.said("touch", str(CHECKOUT / "made-by-root"))
    done = provisioned.provision()
    assert done.returncode == 0, done.stderr
    assert done.stderr == "setup: installing clang-format\n"
    said = [line for line in done.stdout.splitlines() if line.startswith("provision: ")]
    assert said == ["provision: mounting tracefs at /sys/kernel/tracing", READY]
    assert installed(provisioned) >= PACKAGES
    assert mounted(provisioned) >= MOUNTS
    assert provisioned.said("find", str(CHECKOUT), "!", "-user", USER) == ""
