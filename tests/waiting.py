"""Waiting for what other processes and threads do: one bound for all tests, and one loop where nothing tells."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

PATIENCE: Final = float(os.environ.get("PYROVER_PATIENCE_SECONDS", "180"))
"""Seconds: a bound on waiting, not an expectation. `make vm-test` waits longer."""

Seen = TypeVar("Seen")


def until(condition: Callable[[], Seen], what: str | Callable[[], str] = "", pause: float = 0.01) -> Seen:
    """Ask until something is so, where nothing tells when it is; what the condition gave then.

    Args:
        condition: Gives something true once it is so.
        what: Is waited for, where the condition does not say; a function is asked only when it never came.
        pause: Seconds between two questions.

    Raises:
        AssertionError: It was not so within PATIENCE.
    """
    end = time.monotonic() + PATIENCE
    while not (seen := condition()):
        if time.monotonic() > end:
            found = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {PATIENCE:.0f} s{': ' if found else ''}{found}")
        time.sleep(pause)
    return seen


async def eventually(condition: Callable[[], object], pause: float = 0.001) -> None:
    """The same beside other tasks of a loop, of plain values, which set no event of it.

    Raises:
        TimeoutError: It was not so within PATIENCE.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(pause)
