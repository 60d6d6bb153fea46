from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.head_memory import HeadMemory


class Reader:
    """Reads heads, and counts how often it had to."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []

    def __call__(self, head: bytes) -> str | None:
        self.reads.append(head)
        return None if head.startswith(b"!") else head.decode("latin-1") + "."


def memory_of(capacity: int, longest: int = 100) -> tuple[HeadMemory[str], Reader]:
    reader = Reader()
    return HeadMemory(reader, capacity, longest), reader


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


@given(heads=st.lists(st.binary(max_size=3)), capacity=st.sampled_from((2, 4, 64)))
def test_whatever_comes_is_read_as_it_would_be_without(heads: list[bytes], capacity: int) -> None:
    memory, _ = memory_of(capacity, longest=2)
    assert [memory.read(head) for head in heads] == [Reader()(head) for head in heads]
    assert len(memory) <= capacity
