"""Which tests run in the machines."""

import re
from pathlib import Path

from scripts.vm.kernels import ROOT, SERIES
from scripts.vm.plan import MARKER, NO_TESTS, Plan, kernel_tests, make_plan


def test_every_file_that_was_written_for_the_machines_carries_the_marker() -> None:
    files = sorted((ROOT / "tests" / "vm").glob("test_*.py"))
    assert files
    assert [file.name for file in files if MARKER not in file.read_text()] == []


def test_files_with_kernel_tests_are_found_by_their_text() -> None:
    found = kernel_tests()
    assert "tests/agent/kernel/test_bpf_connect.py" in found
    assert "tests/vm/test_stages.py" in found
    assert "tests/agent/kernel/test_btf.py" not in found  # arithmetic
    assert not [name for name in found if name.startswith(("tests/scripts", "tests/backend"))]


def test_tests_of_what_the_agent_may_do_can_be_asked_for() -> None:
    """In a machine only those with the marker run: `make vm-test TESTS="tests/deploy/test_capabilities.py ..."`."""
    page = (ROOT / "docs" / "vm-tests.md").read_text()
    (asked,) = re.findall(r'TESTS="(tests/deploy/[^"]*)"', page)
    files = [ROOT / name for name in asked.split()]
    assert {file.name for file in files} >= {"test_capabilities.py", "test_seccomp.py", "test_least_privilege.py"}
    assert [file.name for file in files if not file.exists() or MARKER not in file.read_text()] == []


def test_everything_runs_with_fentry_and_with_kprobes_and_loads_in_every_mode() -> None:
    plans = [make_plan(series) for series in SERIES]
    for plan in plans:
        assert plan.modes == ("fentry", "kprobe", "tracepoint", "auto")
        assert plan.tests == kernel_tests()
    assert {mode for plan in plans for mode in plan.modes_of_tests} == {"fentry", "kprobe"}


def test_what_is_asked_for_is_what_runs() -> None:
    assert make_plan("6.1", ("tracepoint",), ("tests/vm", "-k", "netfilter")) == Plan(
        ("tracepoint",), ("tracepoint",), ("tests/vm", "-k", "netfilter")
    )


def test_the_gate_alone_can_be_asked_for() -> None:
    assert make_plan("6.1", (), NO_TESTS).tests == ()


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = make_plan("6.12")
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
