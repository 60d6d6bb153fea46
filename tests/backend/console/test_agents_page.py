"""The page of the agents, in a real browser: who was heard, how much each sees, what it lost, and who went silent."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from agent.export.agent_report import encode_report
from agent.export.assembler import Batch
from agent.export.heads import encode_node
from agent.export.transport import GrpcTransport, Outcome
from agent.kernel.hooks import HOOKS
from agent.kernel.plan import UNAVAILABLE, PlannedHook
from agent.telemetry.reports import make_report
from backend.agents.book import AgentBook
from backend.ingest.batch import Node
from backend.storage.memory import MemoryStorage
from protos.ebpf.accesslog_pb2 import PyroverAgentReport
from tests.agent.telemetry.stand_ins import StandIn, progress
from tests.backend.agents.reports import agent_report, serialised
from tests.backend.console.browser import Browser
from tests.backend.query import world
from tests.backend.server.processes import backend

pytestmark = pytest.mark.browser
NONE = "–"  # noqa: RUF001 - the dash that is shown


@dataclass
class Clock:
    now: float = world.NOW

    def __call__(self) -> float:
        return self.now


def whole() -> PyroverAgentReport:
    """Of an agent that sees all and lost nothing."""
    report = agent_report(1_000)
    report.attachedHooks = report.declaredHooks
    del report.missingHooks[:], report.losses[:]
    return report


def test_coverage_losses_and_silence(browser: Browser) -> None:
    clock = Clock()
    book = AgentBook(clock=clock)
    book.hear(Node("z-silent", "shop", 0, {}), whole().SerializeToString())
    clock.now += 270
    book.hear(Node("losing", "shop", 0, {}), serialised(1_800_000_000, 10))
    book.hear(Node("whole", "shop", 0, {}), whole().SerializeToString())
    clock.now += 30
    book.hear(Node("losing", "shop", 0, {}), serialised(1_800_000_030, 25))
    book.hear(Node("rover", "", 0, {}), None)
    with browser.visiting(MemoryStorage(), agents=book, clock=clock) as address:
        browser.open(f"{address}#page=agents")
        browser.shows("#nodes-note", "4 heard within the hour · 1 silent for 2 min or more")
        told = ["90 · 6 wait · 700 B spooled", "50 MiB", "1.2.3 · 6.1.0 x86_64 · auto"]
        losing = ["0 s ago", "56 of 57, without device_queue", "25 events, 4 logs, 5 told incompletely", *told]
        assert browser.rows("#nodes-body") == [
            ["shop::z-silent", "silent for 5 min", "57 of 57", "nothing", *told],
            ["shop::losing", *losing],
            ["rover", "0 s ago", "not told", "not told", NONE, NONE, "not told"],
            ["shop::whole", "30 s ago", "57 of 57", "nothing", *told],
        ]
        assert len(browser.all("#nodes-body .silent")) == 1
        hooks, lost = browser.all("#nodes-body summary")  # nothing is drawn anew before it is asked for below
        hooks.send_keys(Keys.ENTER)  # by the keyboard as by the mouse
        lost.click()
        assert browser.texts("#nodes-body li") == [
            f"device_queue {NONE} this kernel has no net:net_dev_queue\nlost: time to the queue",
            f"ring full {NONE} 25 events · 30/min",
            f"queue full {NONE} 4 logs · 0/min",
            f"kernel: payload cut {NONE} 5 told incompletely · 0/min",
        ]
        # It speaks again and has lost more; what was opened stays open.
        clock.now += 30
        book.hear(Node("z-silent", "shop", 0, {}), None)
        book.hear(Node("losing", "shop", 0, {}), serialised(1_800_000_060, 85))
        browser.refresh_now()
        browser.shows("#nodes-note", "4 heard within the hour · none silent")
        browser.until("the new losses", lambda: "85 events" in browser.texts("#nodes-body summary")[1])
        assert browser.texts("#nodes-body li")[1] == f"ring full {NONE} 85 events · 120/min"
        assert browser.all("#nodes-body .silent") == []
        assert [row.find_element(By.TAG_NAME, "th").accessible_name for row in browser.all("#nodes-body tr")] == [
            *("shop::losing", "rover", "shop::whole", "shop::z-silent")
        ]


def test_agents_beyond_those_that_are_shown_are_counted(browser: Browser) -> None:
    clock = Clock()
    book = AgentBook(maximum=250, clock=clock)
    for number in range(251):
        book.hear(Node(f"node-{number:03}", "", 0, {}), None)
    with browser.visiting(MemoryStorage(), agents=book, clock=clock) as address:
        browser.open(f"{address}#page=agents")
        note = "250 heard within the hour · none silent · 200 are shown · 1 not kept: full"
        browser.shows("#nodes-note", note)
        assert len(browser.all("#nodes-body tr")) == 200


def test_without_agents_that_is_said(browser: Browser, site: str) -> None:
    browser.open(f"{site}#page=agents")
    browser.shows("#nodes-none", "No agent was heard within the hour.")


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_phone(browser: Browser, width: int) -> None:
    clock = Clock()
    book = AgentBook(clock=clock)
    book.hear(Node("a-node-with-a-long-name-in-a-zone.example.internal", "a-cluster", 0, {}), serialised(5, 25))
    with browser.visiting(MemoryStorage(), agents=book, clock=clock) as address:
        browser.emulate(width=width)
        browser.open(f"{address}#page=agents")
        for summary in browser.until("the losses", lambda: browser.all("#nodes-body summary")):
            summary.click()
        assert browser.run("return document.documentElement.scrollWidth") == width


def test_what_an_agent_sends_by_itself_is_what_is_shown(browser: Browser, tmp_path: Path) -> None:
    """From the agent's own report by its own transport to a live backend and its console."""
    parts = StandIn(noted=progress(0)).parts()
    last = HOOKS[-1]
    reasons = {source.kind: UNAVAILABLE for source in last.sources}
    hooks = [*parts.source.coverage.hooks[:-1], PlannedHook(last, None, reasons)]
    parts.source.coverage.hooks = hooks  # type: ignore[misc, assignment] # of a stand-in
    report = encode_report(make_report(parts, told_ns=5, started_ns=3))
    node = encode_node("node-9", "shop", (), (), addresses=(), boot_time_ns=5)
    with backend(tmp_path / "data") as (_, addresses):
        transport = GrpcTransport(addresses["grpc"].removeprefix("http://"))
        try:
            assert transport.send(Batch([node + report], 0), 60).outcome is Outcome.DELIVERED
        finally:
            transport.close()
        browser.open(f"{addresses['http']}/#page=agents")
        browser.until("the agent", lambda: browser.rows("#nodes-body"))
        ((name, _, coverage, lost, sent, *_),) = browser.rows("#nodes-body")
        assert (name, sent) == ("shop::node-9", "30 · 25 wait · 700 B spooled")
        assert coverage == f"{len(HOOKS) - 1} of {len(HOOKS)}, without {last.name}"
        assert lost == "9 events, 10 told incompletely"
        browser.click("#nodes-body summary")
        browser.shows("#nodes-body li", f"{last.name} {NONE} {UNAVAILABLE}\nlost: {', '.join(last.lost)}")
        browser.open("about:blank")  # before nobody answers it
