"""What holds for all tests."""

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from agent.kernel.loader import LoaderError, find_interpreter

# How long an example takes, or to make one, says something about the machine, not about the code. Nothing is kept
# between runs, and a test has the same examples each time, so that a run that fails can be repeated. Others are looked
# for with --hypothesis-profile=search.
settings.register_profile(
    "pyrover", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", settings.get_profile("pyrover"), derandomize=False, print_blob=True)
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


def pytest_unconfigure() -> None:
    """Give up Hypothesis's callback of the garbage collector, which it leaves behind.

    The interpreter gives up such a callback after everything else, and with it what can be reached from it: by the
    loader of Hypothesis's modules the session, its fixtures, and the classes that they are annotated with. DuckDB's
    binding, which is looked at before, would say of all its parts that they were leaked.
    """
    gc.callbacks[:] = [
        callback for callback in gc.callbacks if not getattr(callback, "__module__", "").startswith("hypothesis.")
    ]
