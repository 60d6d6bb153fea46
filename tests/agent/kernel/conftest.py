"""The running kernel, where the tests may have it."""

from collections.abc import Iterator

import pytest

from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch


@pytest.fixture(scope="session")
def shared_source() -> Iterator[KernelSource]:
    with KernelSource.open(only_processes=(), ring_bytes=4 << 20) as source:
        yield source


@pytest.fixture
def watch(shared_source: KernelSource) -> Iterator[Watch]:
    """Programs of the default bounds, shared by all tests; nothing may be lost."""
    before = {**shared_source.losses(), **shared_source.incomplete()}
    yield Watch(shared_source)
    assert {**shared_source.losses(), **shared_source.incomplete()} == before
