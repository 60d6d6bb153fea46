"""What Vagrant itself understands of the Vagrantfile; no machine is started here."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.server.settings import Settings
from tests.e2e.programs import ROOT
from tests.vagrant.machine import CHECKOUT, Machine

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

FOLDER = str(CHECKOUT / "vagrant")
DESCRIBE = "tests/vagrant/describe.rb"


@pytest.fixture(scope="module")
def vagrant(machine: Machine) -> Machine:
    """A machine that has Vagrant."""
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", "vagrant", "vagrant-libvirt", "rsync")
    machine.said("/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", *install)
    return machine


@pytest.fixture(scope="module")
def described(vagrant: Machine) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(vagrant.said("ruby", str(CHECKOUT / DESCRIBE), FOLDER))
    return described


@pytest.fixture(scope="module")
def checkout(described: dict[str, Any]) -> dict[str, Any]:
    """The one folder that is synchronized."""
    (folder,) = (folder for folder in described["folders"] if not folder["disabled"])
    assert isinstance(folder, dict)
    return folder


def test_vagrant_accepts_it(vagrant: Machine, described: dict[str, Any]) -> None:
    validate = ("/usr/bin/env", f"--chdir={FOLDER}", "VAGRANT_DEFAULT_PROVIDER=libvirt", "vagrant", "validate")
    assert vagrant.said(*validate) == "Vagrantfile validated successfully.\n"
    assert described["errors"] == []
    assert described["warnings"] == []


def test_the_machine(described: dict[str, Any]) -> None:
    assert described["box"] == "debian/bookworm64"
    assert described["libvirt"] == {"cpus": 2, "memory": 4096}
    assert described["virtualbox"] == {"--cpus": 2, "--memory": "4096"}


def test_the_backends_ports_are_reached_over_loopback_only(described: dict[str, Any]) -> None:
    forwarded = {network["guest"]: network for network in described["networks"]}
    settings = Settings()
    assert set(forwarded) == {22, settings.grpc_port, settings.http_port}
    assert {network["kind"] for network in described["networks"]} == {"forwarded_port"}
    for port in (settings.grpc_port, settings.http_port):
        assert (forwarded[port]["host"], forwarded[port]["host_ip"]) == (port, "127.0.0.1")


def test_the_provisioning_script_is_told_where_the_checkout_is(
    described: dict[str, Any], checkout: dict[str, Any]
) -> None:
    (provisioner,) = described["provisioners"]
    assert provisioner == {"type": "shell", "run": "always", "path": "provision.sh", "args": [checkout["guestpath"]]}
    assert (ROOT / "vagrant" / provisioner["path"]).exists()


def test_copying_leaves_alone_what_each_side_makes_for_itself(vagrant: Machine, checkout: dict[str, Any]) -> None:
    assert (checkout["type"], checkout["hostpath"]) == ("rsync", str(CHECKOUT))
    here, there = CHECKOUT, Path("/there")
    vagrant.said("mkdir", "-p", f"{here}/.venv", f"{here}/.git", f"{here}/agent/__pycache__", f"{there}/.venv")
    vagrant.said("touch", f"{here}/.venv/here", f"{here}/.git/config", f"{there}/.venv/there", f"{there}/removed.py")
    excludes = [f"--exclude={pattern}" for pattern in checkout["rsync__exclude"]]
    vagrant.said("rsync", "--archive", "--delete", *excludes, f"{here}/", f"{there}/")

    def names(*folder: str) -> set[str]:
        return {path.name for path in vagrant.root.joinpath("there", *folder).iterdir()}

    assert names(".venv") == {"there"}
    assert {"Makefile", "agent", "scripts", ".gitignore"} <= names()
    assert not names() & {".git", "removed.py"}
    assert "cli.py" in names("agent")
    assert "__pycache__" not in names("agent")
