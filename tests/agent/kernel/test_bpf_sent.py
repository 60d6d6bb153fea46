"""What is sent on a socket, by whoever: each byte of it is told with one write, or with the end of the socket."""

from collections.abc import Iterator

import pytest

from agent.events.layout import EventKind
from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import ATTACH, Watch

pytestmark = pytest.mark.kernel

SIZE = 60_000_000
PART = 300_000


@pytest.fixture(scope="module")
def source() -> Iterator[KernelSource]:
    options = Options(payload_bytes=4096)
    with KernelSource.open(attach=ATTACH, only_processes=(), ring_bytes=64 << 20, options=options) as one:
        yield one


def test_what_leaves_within_writes_that_find_no_room_is_told_later(source: KernelSource) -> None:
    """Such a write sends what was there before it, and moves nothing by itself: it has no event."""
    run = Watch(source).run("fill", size=SIZE, part=PART)
    written, read = (
        run.of_socket(run.result[end]["inode"], *kinds)
        for end, kinds in (
            ("client", (EventKind.WRITE, EventKind.LATE_WRITE)),
            ("server", (EventKind.READ, EventKind.LATE_READ)),
        )
    )
    assert int(written["bytes"].sum()) == int(read["bytes"].sum()) == run.result["sent"] == SIZE
    assert run.result["refused"] > 0
    assert source.losses()["ring_full"] == 0
    sent, received = (int(events["stages"]["package_bytes"].sum()) for events in (written, read))
    assert sent == received
    assert sent >= SIZE  # some may have been sent again
