"""The running kernel, where the tests may have it."""

import os
from collections.abc import Iterator

import pytest

from agent.kernel.loader import LoaderError, find_interpreter
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch


def reason_to_skip() -> str:
    if os.geteuid() != 0:
        return "needs root to load kernel programs"
    try:
        find_interpreter()
    except LoaderError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def kernel() -> None:
    """Skip where kernel programs cannot be loaded at all."""
    if reason := reason_to_skip():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_source(kernel: None) -> Iterator[KernelSource]:
    with KernelSource.open(only_processes=(), ring_bytes=4 << 20) as source:
        yield source


@pytest.fixture
def watch(shared_source: KernelSource) -> Iterator[Watch]:
    """Programs of the default bounds, shared by all tests; nothing may be lost."""
    before = {**shared_source.losses(), **shared_source.incomplete()}
    yield Watch(shared_source)
    assert {**shared_source.losses(), **shared_source.incomplete()} == before
