"""The programs that the end-to-end tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.programs import Backend, backend


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Backend]:
    """A backend with an empty store."""
    with backend(tmp_path / "data", tmp_path / "backend.log") as running:
        yield running
