"""Which events of a batch are of some kinds."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.events.layout import EventKind

_VALUES: Final = 256
"""A kind has eight bits."""


def kind_table(kinds: Iterable[EventKind]) -> NDArray[np.bool_]:
    """A table that is indexed by columns of kinds: `table[events["kind"]]`.

    Batches are small where little happens, and there numpy.isin costs twenty times as much (70 us).
    """
    table = np.zeros(_VALUES, dtype=np.bool_)
    table[list(kinds)] = True
    return table
