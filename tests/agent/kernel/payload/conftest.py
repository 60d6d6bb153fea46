"""The programs that capture payload on the running kernel."""

from collections.abc import Iterator

import pytest

from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import ATTACH, Watch


@pytest.fixture(scope="session")
def payload_source() -> Iterator[KernelSource]:
    """The programs with those at the stages: sockets are watched only where their end is told."""
    options = Options(payload_bytes=32 << 20)
    with KernelSource.open(attach=ATTACH, only_processes=(), ring_bytes=32 << 20, options=options) as source:
        yield source


@pytest.fixture
def watch(payload_source: KernelSource) -> Watch:
    payload_source.take_payload()
    return Watch(payload_source)
