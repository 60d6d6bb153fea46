"""The running kernel, where the tests may have it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel.loader import LoaderError, find_interpreter
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import Watch

HERE = Path(__file__).parent


def reason_to_skip() -> str:
    """Why kernel programs cannot be loaded here at all, or ""."""
    if os.geteuid() != 0:
        return "needs root to load kernel programs"
    try:
        find_interpreter()
    except LoaderError as error:
        return str(error)
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("kernel") and item.path.is_relative_to(HERE)]
    if marked and (reason := reason_to_skip()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


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
