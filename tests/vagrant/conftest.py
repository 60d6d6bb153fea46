"""The machines that these tests share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.vagrant.machine import Machine, MachineError, bare_system, started


@pytest.fixture(scope="session")
def bare_archive() -> Iterator[Path]:
    """A bare Debian; the tests that need it are skipped where it cannot be had."""
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(bare_system())
        except MachineError as error:
            pytest.skip(str(error))
        yield archive


@pytest.fixture(scope="module")
def machine(bare_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine as the box brings it, with the checkout; a module's tests share it."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(started(bare_archive, tmp_path_factory.mktemp("machine")))
        except MachineError as error:
            pytest.skip(str(error))
        yield running
