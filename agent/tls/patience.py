"""Doing something that may never come to an end, for so long and no longer."""

import threading
from collections.abc import Callable
from typing import TypeVar

from agent.tls.examiner import Unanswered

_Result = TypeVar("_Result")


def call_within(seconds: float, function: Callable[[], _Result], undo: Callable[[_Result], None]) -> _Result:
    """What a function returns; what it raises is raised.

    Args:
        seconds: How long to wait.
        function: Called in a thread of its own, which is left to itself when the time is over.
        undo: Called by that thread with what came too late.

    Raises:
        Unanswered: The time is over.
    """
    results: list[_Result] = []
    raised: list[BaseException] = []
    lock = threading.Lock()
    done = threading.Event()
    is_late = False

    def work() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            raised.append(error)
        else:
            with lock:
                if not is_late:
                    results.append(result)
                else:
                    undo(result)
        done.set()

    threading.Thread(target=work, name="tls-attach", daemon=True).start()
    if not done.wait(seconds):
        with lock:
            is_late = not results
    if raised:
        raise raised[0]
    if not results:
        raise Unanswered
    return results[0]
