"""The running kernel, where the tests may have it."""

from collections.abc import Iterator

import pytest

from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch, open_source


@pytest.fixture(scope="session")
def shared_source() -> Iterator[KernelSource]:
    # Large enough for a workload whose events are taken when it has ended.
    with open_source(only_processes=(), ring_bytes=32 << 20) as source:
        yield source


@pytest.fixture
def watch(shared_source: KernelSource) -> Iterator[Watch]:
    """Programs of the default bounds, shared by all tests; nothing may be lost."""
    before = {**shared_source.losses(), **shared_source.incomplete()}
    yield Watch(shared_source)
    assert {**shared_source.losses(), **shared_source.incomplete()} == before
