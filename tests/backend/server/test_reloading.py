import asyncio
import logging
import threading

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from backend.server.reloading import PATH, Answer, Outcome, Part, Reloader
from backend.server.tokens import Token


class Shelf:
    """One thing that can be replaced."""

    def __init__(self) -> None:
        self.held = "first"
        self.offered: str | Exception = "second"

    def load(self) -> str:
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered

    def replace(self, loaded: str) -> str:
        self.held = loaded
        return f"it is {loaded}"


def reloader(*shelves: Shelf) -> tuple[Reloader, CollectorRegistry]:
    registry = CollectorRegistry()
    parts = [Part(f"part{number}", shelf.load, shelf.replace, (KeyError,)) for number, shelf in enumerate(shelves)]
    return Reloader(parts, registry), registry


async def test_each_part_is_judged_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    good, wrong, broken = Shelf(), Shelf(), Shelf()
    wrong.offered, broken.offered = KeyError("no such key"), ZeroDivisionError("by zero")
    made, registry = reloader(good, wrong, broken)
    with caplog.at_level(logging.INFO):
        answers = await made.reload()
    assert answers.parts == [
        Answer("part0", Outcome.REPLACED, "it is second"),
        Answer("part1", Outcome.REFUSED, "'no such key'"),
        Answer("part2", Outcome.REFUSED, "ZeroDivisionError: by zero"),
    ]
    assert [shelf.held for shelf in (good, wrong, broken)] == ["second", "first", "first"]
    # The trace is for defects of the program, not for mistakes in files.
    assert [bool(record.exc_info) for record in caplog.records] == [False, False, True]
    for part, outcome in (("part0", "replaced"), ("part1", "refused"), ("part2", "refused")):
        labels = {"part": part, "outcome": outcome}
        assert registry.get_sample_value("pyrover_backend_reloads_total", labels) == 1


async def test_reloads_do_not_overlap() -> None:
    shelf = Shelf()
    inside, go = threading.Semaphore(0), threading.Semaphore(0)
    running = 0
    most = 0

    def load() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        inside.release()
        go.acquire()
        running -= 1
        return "next"

    registry = CollectorRegistry()
    made = Reloader([Part("part", load, shelf.replace, ())], registry)
    made.soon()
    await asyncio.to_thread(inside.acquire)
    for _ in range(50):
        made.soon()  # one more is enough: it reads what is there after the last of these
    go.release()
    await asyncio.to_thread(inside.acquire)
    go.release()
    await made.settle()
    assert (most, shelf.held) == (1, "next")
    labels = {"part": "part", "outcome": "replaced"}
    assert registry.get_sample_value("pyrover_backend_reloads_total", labels) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"authentication": "sesame"}, 200),
        ({"authorization": "Bearer sesame"}, 200),
        ({"authorization": "bearer  sesame"}, 200),
        ({"authorization": "sesame"}, 403),
        ({"authorization": "Basic sesame"}, 403),
        ({"authentication": "wrong", "authorization": "Bearer sesame"}, 403),
    ],
)
async def test_who_reloads_by_a_request_must_have_the_token(headers: dict[str, str], status: int) -> None:
    shelf = Shelf()
    made, _ = reloader(shelf)
    transport = httpx.ASGITransport(Starlette(routes=[made.route(Token("sesame"))]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as asking:
        assert (await asking.post(PATH, headers=headers)).status_code == status
    assert shelf.held == ("second" if status == 200 else "first")
