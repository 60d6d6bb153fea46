"""Kernel programs of every stage, shared by the tests of a run."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

from agent.kernel.losses import PROGRAM_SKIPPED, RETURN_MISSED
from agent.kernel.plan import AttachMode
from agent.kernel.source import KernelSource
from tests.vm.hosts import Host, two_hosts
from tests.vm.watching import Story

MODE: Final = AttachMode(os.environ.get("PYROVER_ATTACH", "auto"))
TRIES: Final = 4
LEFT_OUT: Final = (RETURN_MISSED, PROGRAM_SKIPPED)

_opened: list[KernelSource] = []
_closed: list[int] = []
"""What `left_out` said of each source at its end, which may be that of the last test."""
_hides: set[bool] = set()
"""Whether the kernel leaves programs out without counting it; of each source."""


@pytest.fixture(scope="session")
def stages_source() -> Iterator[KernelSource]:
    with KernelSource.open(only_processes=(), ring_bytes=32 << 20, attach=MODE) as source:
        _opened.append(source)
        _hides.add(not source.coverage.has("network_transmit"))
        yield source
        _opened.clear()
        _closed.append(left_out(source))


@pytest.fixture
def story(stages_source: KernelSource) -> Iterator[Story]:
    """What is told from now on; nothing may be lost."""
    stages_source.take()
    before = lost(stages_source)
    yield Story(stages_source)
    assert lost(stages_source) == before


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as pair:
        yield pair


def lost(source: KernelSource) -> dict[str, int]:
    """What is lost, but for what `missed` counts."""
    counts = {**source.losses(), **source.incomplete()}
    return {name: count for name, count in counts.items() if name not in LEFT_OUT}


def left_out(source: KernelSource) -> int:
    """Runs and returns that the kernel left out."""
    losses = source.losses()
    return sum(losses[name] for name in LEFT_OUT)


def missed() -> int:
    """The same of every source, so far."""
    return sum(_closed) + sum(map(left_out, _opened))


def may_have_left_out(before: int) -> bool:
    """Whether the kernel may have left programs out since `missed` was `before`; see below."""
    return missed() != before or any(_hides)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test again in which the kernel left programs out.

    A kprobe that is hit in an interrupt, while another one's handler is running on that processor, is left out; so is a
    fentry program that is running there itself. The kernel counts it (`return_missed`, `program_skipped`), and the
    counts of packages are short by that much. On an emulated processor the handlers take long, so it happens to one
    package in some thousands. A failure without that is a failure.

    Where tracepoints are all there is, hardened kernels run no program while certain tasks of theirs are current, and
    count nothing (docs/hooks.md): there a test has three more tries.
    """
    if item.get_closest_marker("kernel") is None:
        return None
    for attempt in range(TRIES):
        before = missed()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if attempt:
            item._initrequest()  # type: ignore[attr-defined] # as pytest does before the first run
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports) or not may_have_left_out(before):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
