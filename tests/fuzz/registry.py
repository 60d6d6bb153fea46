"""What a fuzz target is: something that reads bytes of strangers, what it may raise, and input to begin with."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.mutations import mutated

FOUND = Path(__file__).parent / "found"
"""Inputs that once failed, a folder for each target; they are tried first, for ever."""


@dataclass(frozen=True)
class Target:
    """A reader of bytes.

    Attributes:
        name: By which it is run.
        feed: Reads one input. Anything but `errors` that it raises is a failure.
        errors: How it refuses.
        seeds: Whole inputs that it takes.
        words: Parts that are put into inputs, which chance would not make.
    """

    name: str
    feed: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()

    def __call__(self, source: random.Random) -> None:
        """Make one input and feed it."""
        self.check(self.input(source))

    def input(self, source: random.Random) -> bytes:
        """An input: a seed with parts of another one, words and damage, or seldom the mere chance."""
        if source.random() < 0.05:
            return source.randbytes(source.randint(0, 64))
        data = source.choice(self.seeds)
        if source.random() < 0.2:
            other = source.choice(self.seeds)
            data = data[: source.randint(0, len(data))] + other[source.randint(0, len(other)) :]
        for _ in range(source.randint(0, 3) if self.words else 0):
            at = source.randint(0, len(data))
            data = data[:at] + source.choice(self.words) * source.choice((1, 1, 1, 2, 50)) + data[at:]
        return mutated(source, data, rounds=4) if source.random() < 0.8 else data

    def check(self, data: bytes) -> bool:
        """Feed one input; whether it was taken."""
        try:
            self.feed(data)
        except self.errors:
            return False
        except Exception as error:
            error.add_note(f"target {self.name}, input {data!r}")
            raise
        return True

    def found(self) -> Iterator[Path]:
        """Files of inputs that once failed."""
        yield from sorted((FOUND / self.name).glob("*"))


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """Feeds a reader of text."""
    return lambda data: read(data.decode(errors="replace"))


@contextmanager
def _written(data: bytes, name: str) -> Iterator[Path]:
    with TemporaryDirectory(prefix="pyrover-fuzz-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


def file(read: Callable[[Path], object], name: str = "input.yml") -> Callable[[bytes], object]:
    """Feeds a reader of files."""

    def feed(data: bytes) -> None:
        with _written(data, name) as path:
            read(path)

    return feed
