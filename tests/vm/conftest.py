"""Kernel programs of every stage, shared by the tests of a run."""

import os
from collections.abc import Iterator

import pytest

from agent.kernel.plan import AttachMode
from agent.kernel.source import KernelSource
from tests.vm.hosts import Host, two_hosts
from tests.vm.watching import Story


@pytest.fixture(scope="session")
def stages_source() -> Iterator[KernelSource]:
    mode = AttachMode(os.environ.get("PYROVER_ATTACH", "auto"))
    with KernelSource.open(only_processes=(), ring_bytes=32 << 20, attach=mode) as source:
        yield source


@pytest.fixture
def story(stages_source: KernelSource) -> Iterator[Story]:
    """What is told from now on; nothing may be lost."""
    stages_source.take()
    before = {**stages_source.losses(), **stages_source.incomplete()}
    yield Story(stages_source)
    assert {**stages_source.losses(), **stages_source.incomplete()} == before


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as pair:
        yield pair
