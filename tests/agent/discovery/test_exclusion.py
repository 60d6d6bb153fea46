import errno

import msgspec

from agent.discovery.exclusion import Exclusion
from tests.agent.synthetic import FakeHost, facts


class Kernel:
    """A filter with little room."""

    def __init__(self, room: int = 10) -> None:
        self.excluded: set[int] = set()
        self._room = room

    def exclude(self, process: int) -> None:
        if len(self.excluded) >= self._room:
            raise OSError(errno.E2BIG, "Argument list too long")
        self.excluded.add(process)

    def include(self, process: int) -> None:
        self.excluded.discard(process)


def test_a_process_is_excluded() -> None:
    kernel, host = Kernel(), FakeHost()
    host.processes[5] = facts(5)
    assert Exclusion(kernel, host).exclude(facts(5))
    assert kernel.excluded == {5}


def test_one_that_has_ended_meanwhile_does_not_stay_in_the_filter() -> None:
    kernel, host = Kernel(), FakeHost()
    exclusion = Exclusion(kernel, host)
    assert exclusion.exclude(facts(5))
    host.processes[6] = facts(6, start=2)  # another process has got the id
    assert exclusion.exclude(facts(6, start=1))
    assert kernel.excluded == set()


def test_one_that_is_leaving_does_not_stay_in_the_filter() -> None:
    """A zombie still has its id, and has left already."""
    kernel, host = Kernel(), FakeHost()
    host.processes = {5: msgspec.structs.replace(facts(5), executable=""), 6: facts(6)}
    exclusion = Exclusion(kernel, host)
    assert facts(5).executable
    assert exclusion.exclude(facts(5))
    assert kernel.excluded == set()
    assert exclusion.exclude(msgspec.structs.replace(facts(6), executable=""))  # not known before either
    assert kernel.excluded == {6}


def test_without_room_it_is_counted() -> None:
    host = FakeHost()
    host.processes = {pid: facts(pid) for pid in (5, 6)}
    exclusion = Exclusion(Kernel(room=1), host)
    assert [exclusion.exclude(facts(pid)) for pid in (5, 6)] == [True, False]
    assert exclusion.losses() == {"excluded processes without room": 1}
