"""Names of the network devices that reads and writes went through."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import LogBatch
from backend.oal.sources import READ_DEVICE, WRITE_DEVICE

DEVICES: Mapping[str, str] = {
    READ_DEVICE: "read.l2Metrics.ifindex",
    WRITE_DEVICE: "write.l2Metrics.ifindex",
}
"""Columns of names that are made here, texts all, by the columns of the indices that they are made of."""


def devices(batch: LogBatch, rows: NDArray[np.intp], column: str) -> tuple[Sequence[str], NDArray[np.int64]]:
    """The devices of some logs of a batch.

    Args:
        batch: the logs.
        rows: which of them.
        column: one of DEVICES.

    Returns:
        Names, and per log an index into them. The name is empty where no device was told, or where the node has not
        told the name of its index.
    """
    index = batch.columns[DEVICES[column]][rows]
    nodes = {id(connection.node): connection.node for connection in batch.connections}
    order = {identity: number for number, identity in enumerate(nodes)}
    node = np.array([order[id(connection.node)] for connection in batch.connections], np.int64)
    # An index has 32 bits. A node has few, so there are few names, whatever the number of logs.
    keys, place = np.unique((node[batch.connection[rows]] << 32) | index, return_inverse=True)
    known = list(nodes.values())
    return [known[key >> 32].interfaces.get(key & 0xFFFFFFFF, "") for key in keys.tolist()], place
