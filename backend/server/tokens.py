"""A secret that a peer must know."""

import hashlib
import hmac


class Token:
    """What is asked for, compared so that the time it takes tells nothing about it, its length included.

    Args:
        text: The secret; empty to ask for nothing.
    """

    def __init__(self, text: str = "") -> None:
        self._digest = hashlib.sha256(text.encode()).digest() if text else None

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self._digest is not None

    def admits(self, given: bytes) -> bool:
        """Whether these bytes, as a header holds them, let somebody pass."""
        return self._digest is None or hmac.compare_digest(hashlib.sha256(given).digest(), self._digest)
