"""Which connection each message belongs to: the compiled parts of what messages carry over to each other."""

import numpy as np
from numpy.typing import NDArray

from backend.ingest.compiled import compiled
from backend.ingest.decode import CONNECTION, NODE, PROTOCOL_LOG, VALID


@compiled
def survey(
    verdicts: NDArray[np.int8], ranges: NDArray[np.int64], turns: NDArray[np.int64], naming: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Find the messages that change what others carry over.

    Args:
        verdicts: Per message, as in Decoded.
        ranges: As in Decoded.
        turns: Filled with the messages that were refused or name a node.
        naming: Filled with the messages that name a connection.

    Returns:
        How many turns there are, how many name a connection, and how many hold a protocol log.
    """
    turned, named, protocol_logs = 0, 0, 0
    for m in range(len(verdicts)):
        if verdicts[m] != VALID or ranges[m, NODE, 0] >= 0:
            turns[turned] = m
            turned += 1
        if ranges[m, CONNECTION, 0] >= 0:
            naming[named] = m
            named += 1
        if ranges[m, PROTOCOL_LOG, 0] >= 0:
            protocol_logs += 1
    return turned, named, protocol_logs


@compiled
def spread(
    first: int, last: int, before: int, naming: NDArray[np.int64], found: NDArray[np.int32], slots: NDArray[np.int32]
) -> None:
    """Give each message of first..last the slot found for the last one that named a connection.

    Args:
        first: The first message.
        last: The message behind the last.
        before: The slot of messages ahead of the first that names a connection.
        naming: The messages that name one, within first..last, in order.
        found: The slot of each of them.
        slots: Filled per message.
    """
    slot, following = before, 0
    for m in range(first, last):
        if following < len(naming) and naming[following] == m:
            slot = found[following]
            following += 1
        slots[m] = slot
