"""Small files with tokens, certificates and keys, which are replaced while programs run.

Kubernetes replaces the files of a mounted Secret all at once, by a link to another folder; other programs write them
one after the other, or in place. So the bytes are compared, and not times or inodes, and they count when two readings
in a row are the same.
"""

from collections.abc import Iterable, Mapping
from typing import Final

LARGEST: Final = 1_048_576
"""Bytes of a file at most; the certificates of all usual authorities take a fifth of that."""
CHECK_SECONDS: Final = 10.0
"""How often a program looks whether its files have changed."""
MOST_TOKENS: Final = 16
_READINGS: Final = 5


class SecretFileError(ValueError):
    """A file cannot be used; the message begins with its path and says what to do."""


class SecretFiles:
    """The contents of some files as they were last read. For one thread at a time.

    Args:
        paths: The files; empty paths count for nothing.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(dict.fromkeys(path for path in paths if path))
        self._seen: Mapping[str, bytes | SecretFileError] | None = None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._paths)

    def changed(self) -> bool:
        """Read them; whether they differ from the last time, or this is the first.

        While they keep changing they have not changed yet: the next call tells.
        """
        now = self._read()
        for _ in range(_READINGS):
            before, now = now, self._read()
            if _same(before, now):
                break
        else:
            return False
        if self._seen is not None and _same(self._seen, now):
            return False
        self._seen = now
        return True

    def content(self, path: str) -> bytes:
        """What a file held when it was last read.

        Raises:
            SecretFileError: it could not be read.
        """
        if self._seen is None:
            self.changed()
        content = (self._seen or self._read())[path]
        if isinstance(content, SecretFileError):
            raise content
        return content

    def _read(self) -> dict[str, bytes | SecretFileError]:
        return {path: _content(path) for path in self._paths}


def read_tokens(content: bytes, path: str) -> tuple[str, ...]:
    """The tokens of a file, one a line; empty lines count for nothing.

    Who is asked for a token sends the first, and who asks for one takes each of them: so a token can be replaced while
    programs on many machines read it at different times, by a file that holds both for a while.

    Raises:
        SecretFileError: there is none, or too many, or one that no header can hold.
    """
    lines = [line.strip(b" \t\r") for line in content.split(b"\n")]
    tokens = tuple(dict.fromkeys(line for line in lines if line))
    if not tokens:
        raise SecretFileError(f"{path} holds no token; write one into it, or name no file to use none")
    if len(tokens) > MOST_TOKENS:
        raise SecretFileError(f"{path} holds {len(tokens)} tokens; leave at most {MOST_TOKENS}, one a line")
    for number, token in enumerate(tokens, 1):
        if not (token.isascii() and token.decode("ascii").isprintable()):
            raise SecretFileError(f"{path}: token {number} must be printable ASCII, as a header has to hold it")
    return tuple(token.decode("ascii") for token in tokens)


def _content(path: str) -> bytes | SecretFileError:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered, bounded
            content = b""
            while len(content) <= LARGEST and (more := file.read(LARGEST + 1 - len(content))):
                content += more
    except OSError as error:
        return SecretFileError(f"{path} cannot be read: {error.strerror}")
    except ValueError as error:  # a path with a zero byte
        return SecretFileError(f"{path!r} cannot be read: {error}")
    if len(content) > LARGEST:
        return SecretFileError(f"{path} has more than {LARGEST:,} bytes; name a file with certificates or tokens alone")
    return content


def _same(one: Mapping[str, bytes | SecretFileError], other: Mapping[str, bytes | SecretFileError]) -> bool:
    return all(
        first == second or (isinstance(first, SecretFileError) and str(first) == str(second))
        for first, second in ((one[path], other[path]) for path in one)
    )
