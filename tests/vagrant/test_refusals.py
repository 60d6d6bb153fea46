"""Where provisioning cannot work it says so at once, and has changed nothing."""

import pytest

from tests.vagrant.machine import CHECKOUT, USER, Machine

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def refused(machine: Machine, *arguments: str, user: str = "root") -> str:
    """The error of a run that must fail, and only that."""
    packages = machine.said("dpkg-query", "--show")
    done = machine.provision(*arguments, user=user)
    assert done.returncode == 1
    assert done.stdout == ""
    assert machine.said("dpkg-query", "--show") == packages
    assert not (machine.root / CHECKOUT.relative_to("/") / ".venv").exists()
    return done.stderr


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "ubuntu 24.04"),
        ('ID=debian\nVERSION_ID="13"\n', "debian 13"),
        ('PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n', "debian"),
        ("", "unknown"),
    ],
)
def test_another_distribution(machine: Machine, release: str, name: str) -> None:
    file = machine.root / "usr" / "lib" / "os-release"
    original = file.read_text()
    file.write_text(release)
    try:
        error = refused(machine)
    finally:
        file.write_text(original)
    assert error == (
        f"provision: this is for Debian 12, and this machine is '{name}': use the box that the Vagrantfile names\n"
    )


def test_a_user_who_is_not_root(machine: Machine) -> None:
    assert "need root: sudo " in refused(machine, user=USER)


def test_no_folder_given(machine: Machine) -> None:
    assert refused(machine, "") == "provision: usage: provision.sh CHECKOUT\n"


def test_a_folder_without_the_checkout(machine: Machine) -> None:
    assert refused(machine, "/srv") == (
        "provision: /srv is not a checkout of pyrover: if it is empty, 'vagrant rsync' copies it\n"
    )


def test_a_checkout_whose_owner_is_unknown(machine: Machine) -> None:
    machine.said("chown", "4321", str(CHECKOUT))
    try:
        error = refused(machine)
    finally:
        machine.said("chown", USER, str(CHECKOUT))
    assert "/pyrover, 4321, is no user of this machine: chown it" in error


def test_a_package_archive_out_of_reach(machine: Machine) -> None:
    sources = machine.root / "etc" / "apt" / "sources.list"
    original = sources.read_text()
    sources.write_text("deb [trusted=yes] file:/nowhere bookworm main\n")
    try:
        done = machine.provision()
    finally:
        sources.write_text(original)
    assert done.returncode == 1
    assert done.stdout == "provision: installing make\n"
    assert "see that this machine reaches its package archive" in done.stderr
