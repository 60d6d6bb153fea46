"""A processor that is taken away and brought back while connections come and go: each of them is told all the same."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from agent.events.layout import EventKind
from tests.vm.hosts import Exchange, Host, churning
from tests.vm.watching import Story

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        "PYROVER_PATIENCE_SECONDS" not in os.environ,
        reason="takes a processor away: only in a machine of its own (make vm-test)",
    ),
]

CONNECTIONS = 600
SECOND = Path("/sys/devices/system/cpu/cpu1/online")


def test_connections_while_a_processor_comes_and_goes(story: Story, hosts: tuple[Host, Host]) -> None:
    client, server = hosts

    def told(kind: EventKind) -> int:
        return int((story.events["kind"] == kind).sum())

    def are_closed(sockets: int) -> bool:
        return told(EventKind.CLOSE) >= sockets

    def are_gone(sockets: int) -> bool:
        """More may be told of a socket's quality: what was under way on that processor may be sent again."""
        events = story.events
        return len(np.unique(events["inode"][events["kind"] == EventKind.QUALITY])) >= sockets

    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        for exchange in (sender, receiver):
            story.source.choose(exchange.process)
        port = receiver.do("listen", host=server.address(4))["port"]
        with churning(sender, receiver, server.address(4), port, CONNECTIONS):
            try:
                for third, is_online in ((1, "0"), (2, "1")):
                    sockets = 2 * CONNECTIONS * third // 3
                    story.until(partial(are_closed, sockets), f"the close of {sockets} sockets")
                    SECOND.write_text(is_online)
            finally:
                SECOND.write_text("1")
            story.until(partial(are_gone, 2 * CONNECTIONS), "the end of every socket")
        assert told(EventKind.CONNECT) == told(EventKind.ACCEPT) == CONNECTIONS
        assert told(EventKind.CLOSE) == 2 * CONNECTIONS
