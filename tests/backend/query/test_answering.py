"""Who is answered, who waits, what those who wait share, and who has the answer of an equal question."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from backend.query import answering
from backend.query.answering import Answering
from backend.query.turns import BusyError
from tests.waiting import eventually


class World:
    """Questions are names; each is answered, when it is let, with all that share with it."""

    def __init__(self, running: int = 1, waiting: int = 100) -> None:
        self.joined = 0
        self.begun: list[str] = []
        self.let: dict[str, threading.Event] = {}
        self.answering: Answering[str, tuple[str, ...], tuple[str, ...]] = Answering(
            self._answer, self._share, running=running, waiting=waiting, joined=self._count
        )

    def ask(self, name: str, key: str | None = None) -> asyncio.Task[tuple[str, ...]]:
        self.let.setdefault(name, threading.Event())
        return asyncio.create_task(self.answering.ask(name, key))

    def go(self) -> None:
        for event in self.let.values():
            event.set()

    async def has_begun(self, *names: str) -> None:
        await eventually(lambda: len(self.begun) >= len(names))
        assert sorted(self.begun) == sorted(names)

    def _answer(self, name: str, shared: tuple[str, ...]) -> tuple[str, ...]:
        self.begun.append(name)
        assert self.let[name].wait(120)
        if name.startswith("wrong"):
            raise ZeroDivisionError
        return shared

    def _share(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(names)

    def _count(self) -> None:
        self.joined += 1


async def settled() -> None:
    """Until every task that could go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_that_wait_share_and_who_comes_later_does_not() -> None:
    world = World()
    first = world.ask("first")
    await world.has_begun("first")
    waiting = [world.ask(name) for name in "abc"]
    await settled()
    world.let["first"].set()
    assert await first == ("first",)
    await world.has_begun("first", "a")
    late = [world.ask(name) for name in "de"]
    await settled()
    world.go()
    assert await asyncio.gather(*waiting) == [("a", "b", "c")] * 3
    assert await asyncio.gather(*late) == [("d", "e")] * 2
    assert world.begun == ["first", "a", "b", "c", "d", "e"]
    assert world.answering.present == 0


async def test_so_many_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MAXIMUM_TOGETHER", 2)
    world = World()
    first = world.ask("first")
    await world.has_begun("first")
    waiting = [world.ask(name) for name in "abc"]
    await settled()
    world.go()
    assert await asyncio.gather(first, *waiting) == [("first",), ("a", "b"), ("a", "b"), ("c",)]


async def test_so_many_are_answered_and_wait_and_others_are_refused() -> None:
    world = World(running=2, waiting=2)
    asked = [world.ask(name) for name in "ab"]
    await world.has_begun("a", "b")
    asked += [world.ask("c", "equal"), world.ask("d", "equal")]
    await settled()
    assert world.answering.present == 4
    with pytest.raises(BusyError) as raised:
        await world.ask("e", "equal")
    assert raised.value.waiting == 2
    world.go()
    assert await asyncio.gather(*asked) == [("a",), ("b",), ("c",), ("c",)]
    assert world.answering.present == 0
    assert await world.ask("e") == ("e",)


async def test_an_equal_question_that_waits_has_the_same_answer_and_one_that_has_begun_has_not() -> None:
    world = World()
    first = world.ask("first", "x")
    await world.has_begun("first")
    second, third, other = world.ask("second", "x"), world.ask("third", "x"), world.ask("other", "y")
    await settled()
    world.go()
    assert list(await asyncio.gather(first, second, third, other)) == [
        ("first",),
        ("second", "other"),
        ("second", "other"),
        ("second", "other"),
    ]
    assert (world.begun, world.joined) == (["first", "second", "other"], 1)


async def test_an_equal_question_is_answered_anew_when_the_first_fails_or_goes() -> None:
    world = World()
    first = world.ask("first")
    await world.has_begun("first")
    asked = [world.ask(name, "x") for name in ("gone", "wrong", "right", "also")]
    await settled()
    asked[0].cancel()
    await settled()
    world.go()
    gone, wrong, right, also = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(wrong, ZeroDivisionError)
    # The next one begins at once, and what has begun is not waited for.
    assert (right, also) == (("right",), ("also",))
    assert world.begun == ["first", "wrong", "right", "also"]
    assert await first == ("first",)
    assert (world.answering.present, world.answering._waiting, world.answering._equal) == (0, {}, {})
