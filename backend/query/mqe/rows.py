"""Entities that are asked about together: each has a row in the values of every series.

A result has one shape for all of them: which series, in which order. Where the data of entities give shapes that
differ, they have to be told apart, and be asked about by themselves.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

KindT = TypeVar("KindT", bound=np.generic)


class MixedError(Exception):
    """The entities give shapes that differ.

    Args:
        shapes: A number for each entity; those with the same have the same shape.
    """

    def __init__(self, shapes: NDArray[np.int64]) -> None:
        super().__init__()
        self._shapes = shapes

    def parts(self) -> Iterator[NDArray[np.int64]]:
        """The places of the entities of each shape."""
        order = np.argsort(self._shapes, kind="stable")
        ordered = self._shapes[order]
        yield from np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)


def agreed(choices: NDArray[KindT]) -> NDArray[KindT]:
    """What all entities have in common.

    Args:
        choices: One column, or one for each entity.

    Raises:
        MixedError: The columns differ.
    """
    if choices.ndim == 1:
        return choices
    first = choices[:, 0]
    if not (choices == first[:, np.newaxis]).all():
        _, shapes = np.unique(choices, axis=1, return_inverse=True)
        raise MixedError(shapes.reshape(-1))
    return first
