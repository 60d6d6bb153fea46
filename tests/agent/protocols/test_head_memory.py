from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.head_memory import MANY, HeadMemory


class Reader:
    """Reads heads, and counts how often it had to."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.together: list[int] = []
        """How many were read at a time."""

    def __call__(self, head: bytes) -> str | None:
        self.reads.append(head)
        return None if head.startswith(b"!") else head.decode("latin-1") + "."

    def read_many(self, heads: Sequence[bytes]) -> list[str | None]:
        self.together.append(len(heads))
        return [self(head) for head in heads]


def memory_of(capacity: int, longest: int = 100) -> tuple[HeadMemory[str], Reader]:
    reader = Reader()
    return HeadMemory(reader, reader.read_many, capacity=capacity, longest=longest), reader


def test_a_head_is_remembered_when_it_comes_again() -> None:
    memory, reader = memory_of(8)
    assert [memory.read(b"a") for _ in range(5)] == ["a."] * 5
    assert (reader.reads, len(memory)) == ([b"a", b"a"], 1)


def test_of_heads_that_come_once_nothing_is_kept() -> None:
    memory, reader = memory_of(8)
    heads = [b"%d" % number for number in range(1_000)]
    assert [memory.read(head) for head in heads] == [f"{number}." for number in range(1_000)]
    assert (reader.reads, len(memory)) == (heads, 0)


def test_no_more_heads_are_remembered_than_may_be() -> None:
    memory, _ = memory_of(8)
    most = 0
    for number in range(1_000):
        for _ in range(2):
            assert memory.read(b"%d" % number) == f"{number}."
        most = max(most, len(memory))
    assert most == 8


def test_what_is_asked_for_stays_while_others_are_forgotten() -> None:
    memory, reader = memory_of(8)
    memory.read(b"always")
    for number in range(1_000):
        for head in (b"always", b"%d" % number, b"%d" % number):
            memory.read(head)
    assert reader.reads.count(b"always") == 2
    memory.read(b"3")
    assert reader.reads.count(b"3") == 3


def test_longer_heads_are_not_remembered() -> None:
    memory, reader = memory_of(8, longest=4)
    for head in (b"four", b"five!"):
        for _ in range(4):
            memory.read(head)
    assert reader.reads == [b"four"] * 2 + [b"five!"] * 4


def test_what_is_no_head_is_not_remembered() -> None:
    memory, reader = memory_of(8)
    assert [memory.read(b"!") for _ in range(3)] == [None] * 3
    assert (len(reader.reads), len(memory)) == (3, 0)


def test_many_are_read_together_but_for_those_that_are_remembered() -> None:
    memory, reader = memory_of(8)
    few, many = [b"%d" % number for number in range(MANY - 1)], [b"%d" % number for number in range(MANY)]
    for head in (b"0", b"0", b"1"):
        memory.read(head)
    assert memory.read_all(few) == [f"{number}." for number in range(MANY - 1)]
    assert reader.together == []
    memory, reader = memory_of(8)
    for head in (b"x", b"x"):
        memory.read(head)
    assert memory.read_all([b"x", *many]) == ["x.", *(f"{number}." for number in range(MANY))]
    assert (reader.together, len(memory)) == ([MANY], 1)


def test_what_was_read_together_is_remembered_when_it_comes_again() -> None:
    memory, reader = memory_of(2 * MANY)
    heads = [b"%d" % number for number in range(MANY)]
    for _ in range(2):
        assert memory.read_all([*heads, b"!"]) == [*(f"{number}." for number in range(MANY)), None]
    assert 0 < len(memory) <= 2 * MANY
    assert b"!" not in memory._recent
    before = len(reader.reads)
    known = [head for head in heads if head in memory._recent]
    assert memory.read_all(known) == [f"{head.decode()}." for head in known]
    assert len(reader.reads) == before


@given(heads=st.lists(st.binary(max_size=3)), capacity=st.sampled_from((2, 4, 64)))
def test_whatever_comes_is_read_as_it_would_be_without(heads: list[bytes], capacity: int) -> None:
    memory, _ = memory_of(capacity, longest=2)
    assert [memory.read(head) for head in heads] == [Reader()(head) for head in heads]
    assert len(memory) <= capacity
    assert memory.read_all(heads * MANY) == [Reader()(head) for head in heads] * MANY
    assert len(memory) <= capacity
