"""Logs as columns: what happened on which connection view, before it becomes a message."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.connections.view import View

LOG = np.dtype(
    [
        ("view", np.int64),  # View.number
        ("start_ns", np.uint64),  # CLOCK_MONOTONIC
        ("end_ns", np.uint64),
        ("bytes", np.uint64),  # of a transfer
        ("kind", np.uint8),  # EventKind: CONNECT, ACCEPT, CLOSE, READ or WRITE
        ("system_call", np.uint8),  # SystemCall of a transfer
        ("success", np.bool_),  # of a connect or close
    ]
)

Logs = NDArray[np.void]
"""A one-dimensional array of dtype LOG."""


@dataclass(slots=True)
class TrackedLogs:
    """The logs of a batch of events in order of arrival, and the views that they belong to."""

    logs: Logs
    views: dict[int, View] = field(default_factory=dict)
    """By View.number, every view that `logs` names."""
