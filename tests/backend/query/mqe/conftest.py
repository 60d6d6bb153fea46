"""Stores that each test fills itself."""

import pytest

from backend.storage.interface import Storage


@pytest.fixture
def storage(empty: Storage) -> Storage:
    """Each kind of store, with nothing in it yet."""
    return empty
