"""Answers questions in worker threads, some at a time, and lets those that wait share what they need."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

from backend.query.panics import contained
from backend.query.turns import BusyError

MAXIMUM_TOGETHER = 64
"""Most questions that share what they need."""

Asked = TypeVar("Asked")
Shared = TypeVar("Shared")
Answer = TypeVar("Answer")


class _Waiting(Generic[Asked, Shared, Answer]):
    """A question that waits for its turn, and then for its answer."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.shared: Shared | None = None
        self.answer: Answer | None = None
        self.over = asyncio.Event()


class Answering(Generic[Asked, Shared, Answer]):
    """Answers questions, the first come first. For one event loop.

    When a question's turn comes and it shares with nobody yet, it shares with those that wait then: they were asked
    before anything is read for them, so that what is read is never older than a question. For the same reason a
    question that is equal to one that still waits has the same answer; one that has begun is not waited for.

    Args:
        answer: Answers a question, with what it shares; called in a worker thread.
        share: Makes what questions share; called in the loop, and so should be quick.
        running: Most that are answered at a time.
        waiting: Most that wait, for their turn or for the answer to an equal one.
        joined: Called for each question that had the answer of an equal one.

    Attributes:
        present: How many are answered or wait.
    """

    def __init__(
        self,
        answer: Callable[[Asked, Shared], Answer],
        share: Callable[[Sequence[Asked]], Shared],
        *,
        running: int,
        waiting: int,
        joined: Callable[[], None] = lambda: None,
    ) -> None:
        self.present = 0
        self._answer = answer
        self._share = share
        self._joined = joined
        self._turns = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self._most = running + waiting
        self._waiting: dict[_Waiting[Asked, Shared, Answer], None] = {}
        self._equal: dict[Hashable, _Waiting[Asked, Shared, Answer]] = {}

    async def ask(self, asked: Asked, key: Hashable | None = None) -> Answer:
        """Answer a question.

        Args:
            asked: the question.
            key: equal for questions of the same answer; None for one that must be answered by itself.

        Raises:
            BusyError: at once, when too many wait.
            Exception: what `answer` raises. Equal questions are answered anew then.
        """
        if self.present >= self._most:
            raise BusyError(self._most_waiting)
        self.present += 1
        try:
            while key is not None and (equal := self._equal.get(key)) is not None:
                await equal.over.wait()
                # Whoever asked it may have failed, or have gone before it was answered.
                if equal.answer is not None:
                    self._joined()
                    return equal.answer
            return await self._ask(_Waiting(asked), key)
        finally:
            self.present -= 1

    async def _ask(self, waiting: _Waiting[Asked, Shared, Answer], key: Hashable | None) -> Answer:
        self._waiting[waiting] = None
        if key is not None:
            self._equal[key] = waiting
        try:
            async with self._turns:
                self._begin(waiting, key)
                shared = self._share_with_waiting(waiting) if waiting.shared is None else waiting.shared
                waiting.answer = await run_in_threadpool(contained, self._answer, waiting.asked, shared)
            return waiting.answer
        finally:
            self._begin(waiting, key)
            waiting.over.set()

    def _begin(self, waiting: _Waiting[Asked, Shared, Answer], key: Hashable | None) -> None:
        """From here on nothing is equal to it, and nobody shares with it anew."""
        self._waiting.pop(waiting, None)
        if key is not None and self._equal.get(key) is waiting:
            del self._equal[key]

    def _share_with_waiting(self, first: _Waiting[Asked, Shared, Answer]) -> Shared:
        together = [first]
        for waiting in self._waiting:
            if len(together) == MAXIMUM_TOGETHER:
                break
            if waiting.shared is None:
                together.append(waiting)
        shared = self._share([waiting.asked for waiting in together])
        for waiting in together:
            waiting.shared = shared
        return shared
