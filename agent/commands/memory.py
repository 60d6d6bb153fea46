"""Keeps the agent small: gives memory that was needed for a moment back to the system."""

import ctypes
import time

_PAUSE_SECONDS = 10.0


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
