"""agent/connections/grouping.py against grouping one event after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.connections.grouping import UDP, group_events
from agent.events.layout import EventKind
from tests.agent.synthetic import TCP, event, events

K = EventKind
SOCKET_KINDS = {K.CONNECT, K.ACCEPT, K.CLOSE, K.READ, K.WRITE}
LARGEST_PROCESS = (1 << 22) - 1
LARGEST_INODE = (1 << 32) - 1

pieces = st.tuples(
    st.sampled_from(list(EventKind)),
    st.sampled_from([1, LARGEST_PROCESS]),
    st.sampled_from([1, 2, LARGEST_INODE]),
    st.sampled_from([TCP, UDP]),
    st.sampled_from(["10.0.0.1", "10.0.0.2", "::1"]),
    st.sampled_from([53, 5353]),
)


@given(st.lists(pieces, max_size=40))
def test_the_same_as_one_after_the_other(batch: list[tuple[EventKind, int, int, int, str, int]]) -> None:
    found = group_events(
        events(
            *(
                event(kind, process=process, inode=inode, protocol=protocol, remote=(address, port))
                for kind, process, inode, protocol, address, port in batch
            )
        )
    )
    groups: dict[tuple[object, ...], int] = {}
    expected, first = [], []
    for row, (kind, process, inode, protocol, *remote) in enumerate(batch):
        if kind not in SOCKET_KINDS:
            expected.append(-1)
            continue
        by_remote = protocol == UDP and kind != K.CLOSE
        key = (process, inode, by_remote, *(remote if by_remote else ()))
        if key not in groups:
            groups[key] = len(groups)
            first.append(row)
        expected.append(groups[key])
    assert found.group.tolist() == expected
    assert found.first.tolist() == first


def test_a_server_of_datagrams_has_a_group_for_each_that_asks() -> None:
    asking = [event(K.READ, protocol=UDP, remote=("10.0.0.1", port)) for port in (1, 2, 3, 2, 1)]
    connected = [event(K.READ, protocol=UDP, inode=2, remote=("10.0.0.9", 53))] * 3
    assert group_events(events(*asking, *connected)).group.tolist() == [0, 1, 2, 1, 0, 3, 3, 3]
    assert group_events(np.concatenate([*connected, *asking])).group.tolist() == [0, 0, 0, 1, 2, 3, 2, 1]
