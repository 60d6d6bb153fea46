"""The clock of calls that are meant to run out of time, which stands still wherever they are not meant to."""

import time

import pytest

from common.grpc import patience as patience_module
from common.grpc.patience import Patience


class _Clock:
    """What patience looks at."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


def pass_time_only_while(monkeypatch: pytest.MonkeyPatch, doing: str) -> None:
    """Let time pass for calls only by waiting in vain, for as long as there is, for something named by these words.

    A machine that stalls before a call is where it is meant to wait takes none of its time.
    """
    clock, wait = _Clock(), Patience.wait

    def wait_and_pass(patience: Patience, descriptor: int | None = None, events: int = 0) -> int:
        left, began = patience.left, time.monotonic()
        found = wait(patience, descriptor, events)
        if not found and left is not None and doing in patience.doing and time.monotonic() - began >= left:
            clock.now += left
        return found

    monkeypatch.setattr(patience_module, "time", clock)
    monkeypatch.setattr(Patience, "wait", wait_and_pass)
