"""Two backends that commit the same batch to one store: every order of what they do, and of what becomes of it.

Backends are the real `Commits`. They are run again from their beginning for each thing that happens, with the answers
that they have had so far, up to the first question that has no answer yet: so a state is nothing but answers, and what
is in the store, and can be compared with others.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.storage import clickhouse_ledger
from backend.storage.clickhouse_commits import Commits
from backend.storage.clickhouse_ledger import Claimed, TooLateError
from backend.storage.interface import StorageError

BATCH = "batch"
TRIES = 2
"""How often a backend is sent the batch."""
VISIBLE_SECONDS = 10
"""A server shows a commit at most so long after it has looked at its clock for it."""
STEPS = (10, 11, 21)
"""Seconds by which time may pass: to the last second in which a claim is good, to the first in which it is not, and to
the first in which it is void."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a backend asks of the store."""

    process: str
    name: str
    given: tuple[Any, ...]


class _Waits(BaseException):
    """A backend waits for an answer."""

    def __init__(self, call: Call) -> None:
        self.call = call


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend is told."""

    value: Any = None
    fails: bool = False
    too_late: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a backend has ended."""

    stored: bool
    """Whether it has said that the batch is stored."""
    made: frozenset[int]
    """The versions of which it knows that they are committed."""


class _Recorded:
    """A ledger that knows the answers to the first questions."""

    def __init__(self, process: str, answers: Sequence[Answer]) -> None:
        self._process = process
        self._answers = iter(answers)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any of its methods
        def ask(*given: Any) -> Any:  # noqa: ANN401 - whatever it is asked
            plain = tuple(tuple(each) if isinstance(each, list) else each for each in given)
            answer = next(self._answers, None)
            if answer is None:
                raise _Waits(Call(self._process, name, plain))
            if answer.too_late:
                raise TooLateError("too late")
            if answer.fails:
                raise StorageError("no answer")
            return answer.value

        return ask


@functools.cache
def live(process: str, answers: tuple[Answer, ...]) -> Call | Ended:
    """What a backend asks next, or how it has ended."""
    ledger: Any = _Recorded(process, answers)
    made: set[int] = set()
    stored = False

    try:
        commits = Commits(ledger, process, lambda _seconds: None)
        for version in range(1, TRIES + 1):
            try:
                commits.settle()
                if ledger.stored([BATCH], f"{process} {version}"):
                    stored = True
                    break
                commits.commit(version, f"{process} {version}", [BATCH], functools.partial(made.add, version))
            except StorageError:
                continue
            stored = True
            break
    except _Waits as waits:
        return waits.call
    return Ended(stored, frozenset(made))


@dataclass(frozen=True, slots=True)
class Commit:
    """Of a flush that has the batch."""

    process: str
    version: int
    writer: str


@dataclass(frozen=True, slots=True)
class Store:
    """What is in a store at one moment of its clock."""

    now: int = 0
    claims: frozenset[tuple[str, int, int]] = frozenset()
    """Process, number and second of each that is not given back."""
    writing: tuple[tuple[int, Commit], ...] = ()
    """Commits that are taken and not seen yet, with the second in which the clock was looked at."""
    commits: frozenset[Commit] = frozenset()

    def take(self, call: Call) -> tuple["Store", Answer]:
        """Do what is asked; a commit is to be shown later."""
        answer: tuple[Store, Answer] = getattr(self, f"_{call.name}")(call.process, *call.given)
        return answer

    def show(self, number: int) -> "Store":
        """Show a commit that is taken."""
        left = (*self.writing[:number], *self.writing[number + 1 :])
        return replace(self, writing=left, commits=self.commits | {self.writing[number][1]})

    def pass_time(self, seconds: int) -> "Store | None":
        """So much later; None when a server may not take so long."""
        if any(self.now + seconds > since + VISIBLE_SECONDS for since, _ in self.writing):
            return None
        return replace(self, now=self.now + seconds)

    def _claim(self, process: str, number: int, _batches: object) -> tuple["Store", Answer]:
        return replace(self, claims=self.claims | {(process, number, self.now)}), Answer()

    def _give_back(self, process: str, number: int, _batches: object) -> tuple["Store", Answer]:
        left = frozenset(claim for claim in self.claims if claim[:2] != (process, number))
        return replace(self, claims=left), Answer()

    def _claimed(self, asks: str, _batches: object) -> tuple["Store", Answer]:
        batches = frozenset({BATCH})
        found = {
            # Of those of others it does not matter which they are.
            Claimed(process, number, since, batches) if process == asks else Claimed("other", 0, 0, batches)
            for process, number, since in self.claims
            if since + clickhouse_ledger.VOID_SECONDS >= self.now
        }
        return self, Answer(frozenset(found))

    def _stored(self, _process: str, _batches: object, writer: str) -> tuple["Store", Answer]:
        is_stored = any(commit.writer != writer for commit in self.commits)
        return self, Answer(frozenset({BATCH}) if is_stored else frozenset())

    def _commit(self, process: str, version: int, writer: str, _batches: object, since: int) -> tuple["Store", Answer]:
        if self.now > since + clickhouse_ledger.COMMIT_SECONDS:
            return self, Answer(too_late=True)
        return replace(self, writing=(*self.writing, (self.now, Commit(process, version, writer)))), Answer()

    def _is_void(self, _process: str, since: int) -> tuple["Store", Answer]:
        return self, Answer(self.now > since + clickhouse_ledger.VOID_SECONDS)

    def _committed(self, process: str) -> tuple["Store", Answer]:
        return self, Answer(max((one.version for one in self.commits if one.process == process), default=0))


@dataclass(frozen=True, slots=True)
class World:
    """Backends and their store."""

    store: Store
    answers: tuple[tuple[str, tuple[Answer, ...]], ...]
    """By process that lives, in the order of their names."""
    waiting: tuple[tuple[str, Commit], ...] = ()
    """Whose commit is taken, and waits to be shown before it is answered."""
    late: tuple[Call, ...] = ()
    """On their way, and nobody waits for their answer."""
    faults: int = 1
    """How many more things may go wrong."""

    def following(self) -> Iterator["World"]:
        """Every world that may be next."""
        for process, answers in self.answers:
            yield from self._of_process(process, answers)
        for number in range(len(self.store.writing)):
            yield replace(self, store=self.store.show(number))
        for number, call in enumerate(self.late):
            store, _ = self.store.take(call)
            yield replace(self, store=store, late=(*self.late[:number], *self.late[number + 1 :]))
        if self.faults:
            for seconds in STEPS:
                if (later := self.store.pass_time(seconds)) is not None:
                    yield replace(self, store=later, faults=self.faults - 1)

    def _of_process(self, process: str, answers: tuple[Answer, ...]) -> Iterator["World"]:
        for name, commit in self.waiting:
            if name == process:
                if commit in self.store.commits:
                    yield self._answered(process, answers, Answer(), self.store)
                if self.faults:
                    yield replace(
                        self._answered(process, answers, Answer(fails=True), self.store), faults=self.faults - 1
                    )
                    yield replace(self._dead(process), faults=self.faults - 1)
                return
        call = live(process, answers)
        if isinstance(call, Ended):
            return
        store, answer = self.store.take(call)
        if call.name == "commit" and not answer.too_late:
            commit = store.writing[-1][1]
            yield replace(self, store=store, waiting=(*self.waiting, (process, commit)))
        else:
            yield self._answered(process, answers, answer, store)
        if self.faults:
            worse = replace(self, faults=self.faults - 1)
            failed = Answer(fails=True)
            yield worse._dead(process)
            yield replace(worse._dead(process), late=(*self.late, call))
            yield worse._answered(process, answers, failed, self.store)
            yield replace(worse._answered(process, answers, failed, self.store), late=(*self.late, call))
            if call.name != "commit":
                yield worse._answered(process, answers, failed, store)

    def _answered(self, process: str, answers: tuple[Answer, ...], answer: Answer, store: Store) -> "World":
        told = tuple((name, (*of, answer) if name == process else of) for name, of in self.answers)
        waiting = tuple(each for each in self.waiting if each[0] != process)
        assert (process, answers) in self.answers
        return replace(self, store=store, answers=told, waiting=waiting)

    def _dead(self, process: str) -> "World":
        return replace(
            self,
            answers=tuple(each for each in self.answers if each[0] != process),
            waiting=tuple(each for each in self.waiting if each[0] != process),
        )

    def check(self) -> None:
        """What holds at any moment: the batch counts once at most, and who says that it is stored is right."""
        commits = self.store.commits
        assert len(commits) <= 1, f"it counts {len(commits)} times: {self}"
        for process, answers in self.answers:
            ended = live(process, answers)
            if isinstance(ended, Ended):
                assert commits or not ended.stored, f"it is said to be stored and is not: {self}"
                assert {one.version for one in commits if one.process == process} >= ended.made, f"not made: {self}"

    def recover(self) -> "World":
        """The end of it all: a server has shown what it had to, time has passed, and another backend gets the batch."""
        store = self.store
        while store.writing:
            store = store.show(0)
        for call in self.late:
            later = store.pass_time(clickhouse_ledger.VOID_SECONDS + 1)
            assert later is not None
            store, _ = later.take(call)
            while store.writing:
                store = store.show(0)
        last = store.pass_time(clickhouse_ledger.VOID_SECONDS + 1)
        assert last is not None
        world = World(last, (("last", ()),), faults=0)
        while not isinstance(live("last", world.answers[0][1]), Ended):
            world = next(world.following())
            while world.store.writing:
                world = replace(world, store=world.store.show(0))
        return world


def explore(faults: int) -> int:
    """Look at every world that two backends can get into in which so many things go wrong; how many there are.

    Raises:
        AssertionError: a promise does not hold in one of them.
    """
    seen: set[World] = set()
    recovered: set[tuple[Store, tuple[Call, ...]]] = set()
    live.cache_clear()
    ahead = [World(Store(), (("one", ()), ("two", ())), faults=faults)]
    while ahead:
        world = ahead.pop()
        if world in seen:
            continue
        seen.add(world)
        world.check()
        if (world.store, world.late) not in recovered:
            recovered.add((world.store, world.late))
            after = world.recover()
            after.check()
            assert after.store.commits, f"it does not become stored: {world}"
        ahead += world.following()
    return len(seen)
