"""Logs as columns: what happened on which connection view, before it becomes a message."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.connections.view import View
from agent.events.layout import QUALITY, STAGES

LOG = np.dtype(
    [
        ("view", np.int64),  # View.number
        ("start_ns", np.uint64),  # CLOCK_MONOTONIC
        ("end_ns", np.uint64),
        ("kind", np.uint8),  # EventKind: CONNECT, ACCEPT, CLOSE, READ or WRITE
        ("system_call", np.uint8),  # SystemCall of a transfer
        ("success", np.bool_),  # of a connect or close
        ("error", np.uint32),  # of a failed connect: its errno
        ("stages", STAGES),  # of a transfer, connect or accept; one package of all bytes where none was counted
    ]
)

Logs = NDArray[np.void]
"""A one-dimensional array of dtype LOG."""

SUPPLEMENT = np.dtype(
    [
        ("view", np.int64),
        ("kind", np.uint8),  # EventKind: LATE_WRITE, LATE_READ or QUALITY
        ("stages", STAGES),  # of QUALITY: a QUALITY, see `quality_of_supplements`
    ]
)
"""What is known of a connection beside its logs: packages between two calls or after the last one, and its quality."""

Supplements = NDArray[np.void]
"""A one-dimensional array of dtype SUPPLEMENT."""


@dataclass(slots=True)
class TrackedLogs:
    """The logs of a batch of events in order of arrival, and the views that they belong to."""

    logs: Logs
    views: dict[int, View] = field(default_factory=dict)
    """By View.number, every view that `logs` and `supplements` name."""
    supplements: Supplements = field(default_factory=lambda: np.empty(0, dtype=SUPPLEMENT))


def quality_of_supplements(supplements: Supplements) -> NDArray[np.void]:
    """The QUALITY of supplements of that kind, one for each."""
    quality: NDArray[np.void] = np.ascontiguousarray(supplements["stages"]).view(QUALITY)
    return quality
