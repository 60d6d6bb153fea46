from pathlib import Path

import pytest

from backend.ingest.batch import LogBatch
from backend.metrics import journal_segments
from backend.metrics.journal_records import Encoder
from backend.metrics.journal_segments import BEGINNING_BYTES, Damage, JournalError, beginning, read_segment
from tests.backend.metrics.journals import assert_same
from tests.backend.metrics.test_journal_records import small

BATCHES = [small(number) for number in range(3)]
RECORDS = [Encoder().encode(batch, number) for number, batch in enumerate(BATCHES)]
STARTS = [BEGINNING_BYTES + sum(map(len, RECORDS[:number])) for number in range(4)]
WHOLE = beginning() + b"".join(RECORDS)


def read(path: Path, data: bytes) -> tuple[list[tuple[int, LogBatch]], list[Damage]]:
    """What is read of a segment; every batch has been compared with what was written under its number."""
    path.write_bytes(data)
    found = list(read_segment(path))
    batches = [each for each in found if not isinstance(each, Damage)]
    for number, batch in batches:
        assert_same(batch, BATCHES[number])
    return batches, [each for each in found if isinstance(each, Damage)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1-w.segment"


def test_what_was_written_is_read_in_order(path: Path) -> None:
    batches, damages = read(path, WHOLE)
    assert [number for number, _ in batches] == [0, 1, 2]
    assert damages == []


def test_a_segment_that_is_cut_anywhere_gives_what_is_whole(path: Path) -> None:
    for length in range(len(WHOLE)):
        batches, damages = read(path, WHOLE[:length])
        whole = [number for number in range(3) if STARTS[number + 1] <= length]
        assert [number for number, _ in batches] == whole
        is_between = length in STARTS
        assert [damage.is_torn for damage in damages] == ([] if is_between else [True])


def test_a_byte_that_is_changed_anywhere_costs_its_record_alone(path: Path) -> None:
    for at in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[at] ^= 0x41
        batches, damages = read(path, bytes(changed))
        lost = [number for number in range(3) if STARTS[number] <= at < STARTS[number + 1]]
        assert [number for number, _ in batches] == [number for number in range(3) if number not in lost]
        assert len(damages) == 1
        assert damages[0].at == (STARTS[lost[0]] if lost else 0)


def test_what_lies_between_records_is_left_out(path: Path) -> None:
    between = b"\xa7Log" * 20
    batches, damages = read(path, WHOLE[: STARTS[1]] + between + WHOLE[STARTS[1] :])
    assert [number for number, _ in batches] == [0, 1, 2]
    assert damages == [Damage(STARTS[1], "no record begins here; 80 bytes are left out", is_torn=False)]


def test_zeros_at_the_end_are_a_torn_record(path: Path) -> None:
    batches, damages = read(path, WHOLE + bytes(5_000))
    assert len(batches) == 3
    assert damages == [Damage(len(WHOLE), "no record begins here; 5000 bytes are left out", is_torn=True)]


def test_another_format_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(beginning(journal_segments.VERSION + 1) + b"".join(RECORDS))
    with pytest.raises(JournalError, match=r"has format 2, and this program reads format 1: start the version"):
        list(read_segment(path))


def test_a_segment_that_cannot_be_read_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="see to its disk and start again"):
        list(read_segment(path))
