"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

from agent.kernel.loader import LoaderError, find_interpreter

# How long an example takes says something about the machine, not about the code. Nothing is kept between runs.
settings.register_profile("pyrover", deadline=None, database=None)
settings.load_profile("pyrover")


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
    """Skip what needs the kernel where it cannot be had."""
    marked = [item for item in items if item.get_closest_marker("kernel")]
    if marked and (reason := reason_to_skip()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
