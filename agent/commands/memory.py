"""Keeps the agent small: gives memory that was needed for a moment back to the system."""

import ctypes
import gc
import time

_PAUSE_SECONDS = 10.0


def keep_what_there_is() -> None:
    """Let the collector of cycles pass over everything that there is by now, after a last look at it.

    What is made at the start stays until the end. Such a look takes 20 ms, which would come in the midst of work.
    """
    gc.collect()
    gc.freeze()


class MemoryTrimmer:
    """Calls malloc_trim(3) now and then.

    Reading BTF at the start and encoding a large flush need megabytes for a moment. glibc keeps freed memory when
    something small lies above it; on a machine at rest that was 15 of 72 MB.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._trim = getattr(library, "malloc_trim", None)  # other C libraries do not have it
        self._next = 0.0

    def trim(self) -> None:
        """Give memory back if the last time is long enough ago; takes well below a millisecond."""
        now = time.monotonic()
        if self._trim is not None and now >= self._next:
            self._trim(0)
            self._next = now + _PAUSE_SECONDS
