"""Fixtures of the agent's tests."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def kept_levels() -> Iterator[None]:
    """What a test does to the levels of the agent's messages is undone."""
    before = {name: logging.getLogger(name).level for name in ("agent", "common")}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
