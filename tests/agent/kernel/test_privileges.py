"""agent/kernel/privileges.py: what is missing is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.kernel import privileges
from agent.kernel.privileges import (
    CAPABILITIES,
    closed_perf_events,
    missing_capabilities,
    obstacles,
    of_the_loader,
    of_the_reporter,
    of_the_resident,
)

NAMES = [capability.name for capability in CAPABILITIES]


def by_name(*names: str) -> tuple[privileges.Capability, ...]:
    return tuple(capability for capability in CAPABILITIES if capability.name in names)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_lacks_everything() -> None:
    program = (
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from agent.kernel.privileges import missing_capabilities\n"
        "print(*(capability.name for capability in missing_capabilities()))"
    )
    root = Path(privileges.__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == NAMES


def test_each_is_told_by_its_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability in CAPABILITIES:
        status = f"Name:\tpython\nCapEff:\t{1 << capability.bit:016x}\n"
        monkeypatch.setattr(Path, "read_text", lambda _, text=status: text)
        assert {each.name for each in missing_capabilities()} == set(NAMES) - {capability.name}


def test_the_kernel_takes_the_widest_one_for_those_that_are_required() -> None:
    assert obstacles(by_name("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")) == ()
    assert obstacles(by_name("CAP_SYS_ADMIN", "CAP_NET_ADMIN")) == ()
    assert obstacles(CAPABILITIES) == by_name("CAP_BPF", "CAP_PERFMON")


@pytest.mark.parametrize(
    ("level", "missing", "closed"),
    [
        ("3", ("CAP_SYS_ADMIN",), 3),
        ("4", ("CAP_SYS_ADMIN", "CAP_NET_ADMIN"), 4),
        ("3", ("CAP_NET_ADMIN",), None),
        ("2", ("CAP_SYS_ADMIN",), None),
        ("-1", ("CAP_SYS_ADMIN",), None),
        (None, ("CAP_SYS_ADMIN",), None),
    ],
)
def test_perf_events_are_closed_at_levels_of_patched_kernels(
    level: str | None,
    missing: tuple[str, ...],
    closed: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paranoia = tmp_path / "perf_event_paranoid"
    if level is not None:
        paranoia.write_text(f"{level}\n")
    monkeypatch.setattr(privileges, "PARANOIA", paranoia)
    assert closed_perf_events(by_name(*missing)) == closed


def test_the_loader_needs_what_is_listed_and_for_older_kernels_more() -> None:
    listed = {capability.bit for capability in CAPABILITIES}
    assert of_the_loader() - listed == {8, 24}  # CAP_SETPCAP, CAP_SYS_RESOURCE
    assert listed < of_the_loader()


@pytest.mark.parametrize(
    ("tls", "conntrack", "given_away"),
    [
        (True, True, set()),
        (False, True, {"CAP_PERFMON"}),
        (True, False, {"CAP_NET_ADMIN"}),
        (False, False, {"CAP_PERFMON", "CAP_NET_ADMIN"}),
    ],
)
def test_what_is_kept_depends_on_what_is_used(*, tls: bool, conntrack: bool, given_away: set[str]) -> None:
    kept = of_the_resident(tls=tls, conntrack=conntrack)
    assert kept == {each.bit for each in CAPABILITIES if each.name not in given_away}


def test_who_only_looks_for_processes_keeps_what_reads_them() -> None:
    names = {capability.name for capability in CAPABILITIES if capability.bit in of_the_reporter()}
    assert names == {"CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"}


def test_numbers_are_those_of_the_names() -> None:
    numbers = {capability.name: capability.bit for capability in CAPABILITIES}
    assert (numbers["CAP_BPF"], numbers["CAP_DAC_READ_SEARCH"]) == (privileges.BPF, privileges.DAC_READ_SEARCH)
