"""Work that stops in the middle, so that other things can happen before it goes on.

It has a thread of its own, which runs only while whoever lets it go on waits for it: so there is one thing at a time,
and what happens follows from the order in which works are told to go on.
"""

import threading
from collections.abc import Callable
from typing import Any

_current = threading.local()


class SteppedWork:
    """Goes on from one `pause` to the next.

    Args:
        work: What is to be done.

    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._work = work
        self._goes_on = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._is_over = False
        self._end: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self, end: BaseException | None = None) -> bool:
        """Let it go on, with an exception where there is one, until it stops again; whether it is over."""
        self._end = end
        self._goes_on.release()
        self._stopped.acquire()
        if self._is_over:
            self._thread.join()
        return self._is_over

    def outcome(self) -> Any:  # noqa: ANN401 - whatever the work gives
        """What the work has given, when it is over; raises what it has raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        self._goes_on.acquire()
        _current.work = self
        try:
            if self._end is None:
                self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - told to whoever lets it go on
            self._error = error
        self._is_over = True
        self._stopped.release()

    def _stop(self) -> None:
        self._stopped.release()
        self._goes_on.acquire()
        if self._end is not None:
            raise self._end


def pause() -> bool:
    """Stop the work that calls this, until it is told to go on; False outside of one, where nothing can happen."""
    work: SteppedWork | None = getattr(_current, "work", None)
    if work is None:
        return False
    work._stop()
    return True
