"""What the end-to-end tests need of the machine, and the programs they share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.kernel.conftest import reason_to_skip
from tests.e2e.programs import Backend, backend


@pytest.fixture(scope="session", autouse=True)
def _machine() -> None:
    if reason := reason_to_skip():
        pytest.skip(reason)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Backend]:
    """A backend with an empty store."""
    with backend(tmp_path / "data", tmp_path / "backend.log") as running:
        yield running
