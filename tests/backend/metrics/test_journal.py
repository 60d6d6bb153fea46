import os
from pathlib import Path

import pytest

from backend.ingest.batch import LogBatch
from backend.metrics.journal import Journal, has_segments
from backend.metrics.journal_segments import Damage, JournalError, read_segment
from tests.backend.metrics.journals import assert_same
from tests.backend.metrics.test_journal_records import small


def read(path: Path) -> list[tuple[int, LogBatch] | Damage]:
    return list(read_segment(path))


def assert_holds(path: Path, numbers: list[int]) -> None:
    """Assert that a segment has these of the small batches, in order."""
    found = read(path)
    assert len(found) == len(numbers)
    for place, (each, number) in enumerate(zip(found, numbers, strict=True)):
        assert not isinstance(each, Damage)
        assert each[0] == place
        assert_same(each[1], small(number))


def test_what_is_appended_is_in_the_segment_until_it_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "journal"
    assert not has_segments(folder)
    journal = Journal(folder, 1 << 20)
    assert journal.seal() is None
    journal.append([small(0)])
    journal.append([small(1), small(2)])
    first = journal.seal()
    journal.append([small(3)])
    second = journal.seal()
    assert first is not None
    assert second is not None
    assert journal.segments() == [first, second]
    assert has_segments(folder)
    assert first.writer != second.writer
    assert_holds(first.path, [0, 1, 2])
    assert_holds(second.path, [3])
    assert (first.bytes, second.bytes) == (first.path.stat().st_size, second.path.stat().st_size)
    assert journal.bytes == first.bytes + second.bytes
    journal.remove(first)
    journal.remove(second)
    assert (journal.segments(), journal.bytes) == ([], 0)
    assert not has_segments(folder)


def test_a_journal_that_is_opened_again_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1 << 20)
    for number in range(12):
        journal.append([small(number)])
        journal.seal()
    again = Journal(tmp_path, 1 << 20)
    assert again.bytes == journal.bytes
    again.append([small(12)])
    again.seal()
    for number, segment in enumerate(again.segments()):
        assert_holds(segment.path, [number])


def test_what_is_appended_is_made_durable_once_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda number: synced.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    journal = Journal(tmp_path, 1 << 20)
    journal.append([small(0), small(1)])
    journal.append([small(2)])
    (segment,) = journal.segments()
    journal.seal()
    assert synced == [str(tmp_path), str(segment.path), str(segment.path)]


def test_what_all_segments_may_have_together_is_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1 << 20)
    journal.append([small(0)])
    journal.seal()
    for limit, fits in ((2 * journal.bytes, True), (2 * journal.bytes - 1, False)):
        bounded = Journal(tmp_path, limit)
        if fits:
            bounded.append([small(0)])
            sealed = bounded.seal()
            assert sealed is not None
            bounded.remove(sealed)
        else:
            with pytest.raises(JournalError, match=r"set limits\.journal_bytes higher"):
                bounded.append([small(0)])
            assert (bounded.seal(), len(bounded.segments())) == (None, 1)


def test_a_segment_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1 << 20)
    journal.append([small(0)])
    segment = journal.seal()
    assert segment is not None
    segment.path.unlink()
    segment.path.mkdir()
    with pytest.raises(JournalError, match="is stored, and cannot be removed"):
        journal.remove(segment)
    segment.path.rmdir()
    journal.remove(segment)
    assert journal.bytes == 0


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="make it an empty folder"):
        Journal(tmp_path / "file", 1)
    (tmp_path / "strange.segment").touch()
    with pytest.raises(JournalError, match="make it an empty folder"):
        Journal(tmp_path, 1)
