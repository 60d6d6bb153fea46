"""backend/query/agent_tables.py: the agents as a person reads them."""

from backend.agents.book import AgentBook
from backend.ingest.batch import Node
from backend.query.agent_tables import agents as table
from backend.query.agents import agents
from tests.backend.agents.reports import serialised
from tests.clock import Clock


def test_rows_and_what_is_missing() -> None:
    clock = Clock(1_800_000_000.0)
    book = AgentBook(maximum=3, clock=clock)
    book.hear(Node("old", "", 0, {}), serialised(1_800_000_000))
    clock.now += 170
    book.hear(Node("node-1", "shop", 0, {}), serialised(1_800_000_000, 10))
    clock.now += 30
    book.hear(Node("node-1", "shop", 0, {}), serialised(1_800_000_030, 25))
    book.hear(Node("rover", "", 0, {}), None)
    book.hear(Node("one too many", "", 0, {}), None)
    listing = table(agents(book, clock.now))
    size = ("90", "700 B", "50 MiB", "1.2.3", "6.1.0 x86_64")
    assert listing.rows == [
        ("old", "3 min ago SILENT", "56 of 57", "queue_full 4", *size, "kernel payload_cut 5"),
        ("rover", "0 s ago", "not told", "not told", "-", "-", "-", "-", "-", "-"),
        ("shop::node-1", "0 s ago", "56 of 57", "ring_full 25 (30/min), queue_full 4", *size, "kernel payload_cut 5"),
    ]
    assert listing.caption == (
        "3 heard within the hour, 1 of them silent for 2 min\n"
        "old, shop::node-1: no device_queue (this kernel has no net:net_dev_queue); lost: time to the queue\n"
        "not kept: full 1"
    )


def test_many_that_lack_the_same_are_one_line() -> None:
    book = AgentBook()
    for number in range(7):
        book.hear(Node(f"n{number}", "", 0, {}), serialised(5))
    listing = table(agents(book, book.clock()))
    assert listing.caption == (
        "7 heard within the hour\n"
        "n0, n1, n2, n3, n4 and 2 more: no device_queue (this kernel has no net:net_dev_queue); lost: time to the queue"
    )
