"""Rows that one flush after the other tells, with numbers that hold from one to the next.

Each flush of a minute tells of the same services, instances, endpoints and relations. A store that remembers by number
what it has written finds what is new by work on an array, however much a flush tells again.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Register(Generic[T]):
    """Rows by number, in the order in which they came. Rows are added and never taken away. For use from one thread."""

    __slots__ = ("__weakref__", "_rows")

    def __init__(self) -> None:
        self._rows: list[T] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: T) -> int:
        """Take a row; its number."""
        self._rows.append(row)
        return len(self._rows) - 1

    def rows(self, numbers: NDArray[np.int64]) -> list[T]:
        """The rows of some numbers."""
        return list(map(self._rows.__getitem__, numbers.tolist()))


class Told(Sequence[T]):
    """Some rows of a register. Equal to any sequence of the same rows.

    Attributes:
        register: where they are.
        numbers: theirs, in this order.
    """

    __slots__ = ("numbers", "register")
    __hash__ = None  # type: ignore[assignment] # as a list

    def __init__(self, register: Register[T], numbers: NDArray[np.int64]) -> None:
        self.register = register
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[T]:
        return iter(self.register.rows(self.numbers))

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self.register.rows(self.numbers[index])
        return self.register.rows(self.numbers[[index]])[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))
