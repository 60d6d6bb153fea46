"""Two backends that commit the same batch to one store, each with another batch that the other backend does not have:
every order of what they do, and of what becomes of it.

Backends are the real `Commits`. They are run again from their beginning for each thing that happens, with the answers
that they have had so far, up to the first question that has no answer yet: so a state is nothing but answers, and what
is in the store, and can be compared with others.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.storage import clickhouse_ledger
from backend.storage.clickhouse_commits import Commits
from backend.storage.clickhouse_ledger import Claimed, TooLateError
from backend.storage.interface import StorageError, StoredElsewhereError

BATCHES = {"one": ("both", "of one"), "two": ("both", "of two"), "last": ("both", "of one", "of two")}
"""What backends are sent: the last one is there when the others have done what they could."""
TRIES = 2
"""How often a backend writes a flush."""
REPEATS = {"one"}
"""Who writes a flush without an answer again, under the same writer; others are sent its batches again."""
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

    stored: frozenset[str]
    """The batches of which it has said that they are stored."""
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
    backend = _Backend(ledger, process)
    try:
        for version in range(1, TRIES + 1):
            backend.write(version)
    except _Waits as waits:
        return waits.call
    return Ended(frozenset(backend.stored), frozenset(backend.made))


class _Backend:
    """Does what a pipeline does with what it is sent, to its storage."""

    def __init__(self, ledger: Any, process: str) -> None:  # noqa: ANN401 - as it is recorded
        self._ledger = ledger
        self._process = process
        self._commits = Commits(ledger, process, lambda _seconds: None)
        self._sent = 1
        self._flush: tuple[str, list[str]] | None = None
        self._waiting = {*BATCHES[process]}
        # A batch that its sender cannot send again comes with the first ones.
        self._has_nameless = True
        self.stored: set[str] = set()
        self.made: set[int] = set()

    def write(self, version: int) -> None:
        """Write what it is sent and has not said to be stored, once."""
        try:
            self._commits.settle()
            writer, left = self._flush or self._look(version)
            if left or self._has_nameless:
                self._commits.commit(version, writer, left, functools.partial(self.made.add, version))
        except StoredElsewhereError as error:
            self._flush = None
            self._waiting -= error.held
            if not self._waiting and not self._has_nameless:
                self._send_again()
        except StorageError:
            if self._process not in REPEATS:
                self._send_again()
        else:
            self.stored |= self._waiting
            self._send_again()

    def _look(self, version: int) -> tuple[str, list[str]]:
        writer = f"{self._process} {self._sent} {version}"
        left = sorted(self._waiting - self._ledger.stored(sorted(self._waiting), writer))
        self._flush = writer, left
        return self._flush

    def _send_again(self) -> None:
        self._sent += 1
        self._flush = None
        self._has_nameless = False
        self._waiting = {*BATCHES[self._process]} - self.stored


@dataclass(frozen=True, slots=True)
class Commit:
    """Of a flush."""

    process: str
    version: int
    writer: str
    batches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """What is in a store at one moment of its clock."""

    now: int = 0
    claims: frozenset[tuple[str, int, int, tuple[str, ...]]] = frozenset()
    """Process, number, second and batches of each that is not given back."""
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

    def _claim(self, process: str, number: int, batches: tuple[str, ...]) -> tuple["Store", Answer]:
        return replace(self, claims=self.claims | {(process, number, self.now, batches)}), Answer()

    def _give_back(self, process: str, number: int, _batches: object) -> tuple["Store", Answer]:
        left = frozenset(claim for claim in self.claims if claim[:2] != (process, number))
        return replace(self, claims=left), Answer()

    def _claimed(self, asks: str, batches: tuple[str, ...]) -> tuple["Store", Answer]:
        found = set[Claimed]()
        for process, number, since, claimed in self.claims:
            both = frozenset(claimed) & {*batches}
            if both and since + clickhouse_ledger.VOID_SECONDS >= self.now:
                # Of those of others it does not matter which they are.
                found.add(Claimed(process, number, since, both) if process == asks else Claimed("other", 0, 0, both))
        return self, Answer(frozenset(found))

    def _stored(self, _process: str, batches: tuple[str, ...], writer: str) -> tuple["Store", Answer]:
        stored = {batch for commit in self.commits if commit.writer != writer for batch in commit.batches}
        return self, Answer(frozenset(stored & {*batches}))

    def _commit(
        self, process: str, version: int, writer: str, batches: tuple[str, ...], since: int | None
    ) -> tuple["Store", Answer]:
        if since is not None and self.now > since + clickhouse_ledger.COMMIT_SECONDS:
            return self, Answer(too_late=True)
        commit = Commit(process, version, writer, batches)
        return replace(self, writing=(*self.writing, (self.now, commit))), Answer()

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
        """What holds at any moment: a batch counts once at most, and who says that it is stored is right."""
        # A flush that is written again replaces what it wrote.
        flushes = {(commit.writer, commit.batches) for commit in self.store.commits}
        counted = Counter(batch for _, batches in flushes for batch in batches)
        assert not counted or max(counted.values()) == 1, f"it counts {max(counted.values())} times: {self}"
        # So what has no name counts once, too, when a flush is made anew.
        sent = Counter(writer.rpartition(" ")[0] for writer, _ in flushes)
        assert not sent or max(sent.values()) == 1, f"what is sent once is in several flushes that count: {self}"
        for process, answers in self.answers:
            ended = live(process, answers)
            if isinstance(ended, Ended):
                assert ended.stored <= {*counted}, f"it is said to be stored and is not: {self}"
                made = {one.version for one in self.store.commits if one.process == process}
                assert made >= ended.made, f"not made: {self}"
                if self.store.now == 0 and not any(answer.fails for answer in answers):
                    own = {*BATCHES[process]} - {"both"}
                    assert own <= ended.stored, f"what nobody else has is held up: {self}"

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
            stored = {batch for commit in after.store.commits for batch in commit.batches}
            assert stored == {*BATCHES["last"]}, f"not all becomes stored: {world}"
        ahead += world.following()
    return len(seen)
