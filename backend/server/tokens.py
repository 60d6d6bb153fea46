"""Secrets of which a peer must know one."""

import hashlib
import hmac

_SCHEME = b"bearer "


class Token:
    """What is asked for, compared so that the time it takes tells nothing about it, its length included.

    Args:
        texts: The secrets, any of which lets somebody pass; empty ones count for nothing. Without any nothing is asked
            for.
    """

    def __init__(self, *texts: str) -> None:
        self.replace(*texts)

    def replace(self, *texts: str) -> None:
        """Ask for these from now on."""
        self._digests = tuple(hashlib.sha256(text.encode()).digest() for text in texts if text)

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self._digests)

    def admits(self, given: bytes) -> bool:
        """Whether these bytes, as a header holds them, let somebody pass."""
        if not self._digests:
            return True
        digest = hashlib.sha256(given).digest()
        return any([hmac.compare_digest(digest, each) for each in self._digests])  # noqa: C419 - all, whichever fits


def bearer(authorization: bytes) -> bytes:
    """The token in a header Authorization; empty when there is none. The scheme's case is free (RFC 9110, 11.1)."""
    return authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else b""
