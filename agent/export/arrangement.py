"""How the logs of a flush are divided into messages: for each connection its plain logs, then each of its exchanges."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.events.distinct import changes
from agent.export.claims import UNCLAIMED

Rows = tuple[int, int]
"""The first one, and behind the last."""

_NONE: Rows = (0, 0)


class Arranged(NamedTuple):
    """One connection, of which there is something to tell."""

    view: int
    """View.number."""
    plain: Rows
    """Of its plain logs."""
    quality: bytes
    """The serialised `quality` of a message, if there is any; it goes with the plain logs."""
    exchanges: list[tuple[int, Rows]]
    """The index of each and the rows of its logs, in the order in which they were told."""

    @property
    def has_plain(self) -> bool:
        """Whether there is anything to tell beside exchanges."""
        return self.plain != _NONE or bool(self.quality)


def arrange(
    views: NDArray[np.int64], claims: NDArray[np.int64], owners: NDArray[np.int64], quality: Mapping[int, bytes]
) -> list[Arranged]:
    """Divide logs into the parts of messages.

    Args:
        views: Per log the number of its view, ascending.
        claims: Per log the index of its exchange or UNCLAIMED, ascending within a view.
        owners: Per exchange the number of its view.
        quality: By number of a view, the serialised `quality` of a message.

    Returns:
        The connections in ascending order of their views.
    """
    plain, first, last = _runs(views, claims, len(owners))
    order = np.argsort(owners, kind="stable")
    bounds = [*np.flatnonzero(changes(owners[order])).tolist(), len(owners)]
    rows = zip(first[order].tolist(), last[order].tolist(), strict=True)
    told = list(zip(order.tolist(), rows, strict=True))
    exchanges = {int(owners[order[begin]]): told[begin:end] for begin, end in pairwise(bounds)}
    return [
        Arranged(view, plain.get(view, _NONE), quality.get(view, b""), exchanges.get(view, []))
        for view in sorted({*plain, *quality, *exchanges})
    ]


def _runs(
    views: NDArray[np.int64], claims: NDArray[np.int64], count: int
) -> tuple[dict[int, Rows], NDArray[np.intp], NDArray[np.intp]]:
    """Rows of plain logs by view; for each of `count` exchanges the first row of its logs, and behind the last."""
    begins = np.flatnonzero(changes(views) | changes(claims))
    ends = np.append(begins, len(views))[1:]
    claim = claims[begins]
    first, last = np.zeros((2, count), dtype=np.intp)
    is_plain = claim == UNCLAIMED
    claim = claim[~is_plain]
    first[claim], last[claim] = begins[~is_plain], ends[~is_plain]
    rows = zip(begins[is_plain].tolist(), ends[is_plain].tolist(), strict=True)
    plain = dict(zip(views[begins[is_plain]].tolist(), rows, strict=True))
    return plain, first, last
