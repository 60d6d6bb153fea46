import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.accounting import Balance, Loss
from agent.export.assembler import Batch
from agent.export.ledger_file import SETTLED
from agent.export.spool import Spool, SpoolError


@contextmanager
def copied(folder: Path, to: Path) -> Iterator[Spool]:
    """What the next agent finds when the one that has a folder is killed now."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    with closing(Spool(to)) as spool:
        yield spool


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10), st.integers(0, 10**6))
def test_a_batch_comes_back_as_it_was(messages: list[bytes], logs: int) -> None:
    folder = Path("/dev/shm") / f"spool-{os.getpid()}"  # noqa: S108 - a fixture of pytest is not for each example
    try:
        with closing(Spool(folder)) as spool:
            batch = Batch(messages, logs)
            spooled = spool.keep(batch)
            assert spooled is not None
            found = spool.load(spooled)
            assert found is not None
            assert (list(found.messages), found.logs, found.id) == (messages, logs, batch.id)
    finally:
        shutil.rmtree(folder)


def test_the_next_agent_finds_what_has_no_answer_in_order(tmp_path: Path) -> None:
    batches = [Batch([b"x" * number], number) for number in range(1, 30)]
    with closing(Spool(tmp_path / "a")) as spool:
        kept = [spool.keep(batch) for batch in batches]
        spool.ledger.capture(sum(batch.logs for batch in batches))
        for batch, spooled in list(zip(batches, kept, strict=True))[::2]:
            assert spooled is not None
            spool.ledger.deliver(batch.logs, spooled.place)
            spool.remove(spooled)
        with copied(tmp_path / "a", tmp_path / "b") as following:
            assert [spooled.id for spooled in following.left] == [batch.id for batch in batches[1::2]]
            balance = following.ledger.balance()
            assert balance.waiting == sum(batch.logs for batch in batches[1::2])
            assert balance.lost == {}
            last = following.keep(Batch([b"later"], 1))
            assert last is not None
            assert last.place > max(spooled.place for spooled in following.left)


def test_what_was_not_in_the_spool_when_the_agent_was_killed_is_lost_and_counted(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "a")) as spool:
        spool.ledger.capture(100)
        spool.keep(Batch([b"x"], 30))
        for name in ("b", "c"):  # twice, as a second one may be killed before it does anything
            with copied(tmp_path / "a", tmp_path / name) as following:
                assert following.ledger.balance() == Balance(100, 0, {"killed": 70})
        with copied(tmp_path / "b", tmp_path / "d") as following:
            following.ledger.capture(5)
            with copied(tmp_path / "d", tmp_path / "e") as last:
                assert last.ledger.balance() == Balance(105, 0, {"killed": 75})


def test_a_batch_that_was_settled_and_not_removed_is_not_sent_again(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "a")) as spool:
        spool.ledger.capture(12)
        kept = [spool.keep(Batch([b"x"], logs)) for logs in (3, 4, 5)]
        assert None not in kept
        assert kept[0] is not None
        spool.ledger.deliver(3, kept[0].place)
        # Killed here: the file of the first is still there.
        with copied(tmp_path / "a", tmp_path / "b") as following:
            assert [spooled.logs for spooled in following.left] == [4, 5]
            assert following.ledger.balance() == Balance(12, 3, {})
        assert len(list((tmp_path / "b").glob("*.batch"))) == 2


def test_a_batch_that_cannot_be_removed_is_removed_later_and_bounds_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def fail(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".batch":
            raise OSError(5, "Input/output error")
        unlink(path, missing_ok=missing_ok)

    with closing(Spool(tmp_path / "a")) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", fail)
            for number in range(SETTLED - 1):
                spooled = spool.keep(Batch([b"x"], 1))
                assert spooled is not None, number
                spool.ledger.capture(1)
                spool.ledger.deliver(1, spooled.place)
                spool.remove(spooled)
            assert spool.keep(Batch([b"x"], 1)) is None
            assert spool.failures == 1
            with copied(tmp_path / "a", tmp_path / "b") as following:
                assert following.left == []
                assert following.ledger.balance() == Balance(SETTLED - 1, SETTLED - 1, {})
        assert len(list((tmp_path / "a").glob("*.batch"))) == SETTLED - 1
        with copied(tmp_path / "a", tmp_path / "c") as following:
            assert following.keep(Batch([b"x"], 1)) is not None
            assert len(list((tmp_path / "c").glob("*.batch"))) == 1


def test_each_byte_that_is_cut_or_changed_is_noticed(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        spooled = spool.keep(Batch([b"abc", b"", b"d"], 1))
        assert spooled is not None
        path = tmp_path / spooled.name
        content = path.read_bytes()
        for at in range(len(content)):
            path.write_bytes(content[:at])
            assert spool.load(spooled) is None
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert spool.load(spooled) is None
        path.unlink()
        assert spool.load(spooled) is None


def test_a_disk_that_is_full_is_counted_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    with closing(Spool(tmp_path)) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", fail)
            assert spool.keep(Batch([b"abc"], 1)) is None
        assert spool.failures == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger", "lock"]
        assert spool.keep(Batch([b"abc"], 1)) is not None


def test_after_the_death_of_the_machine_the_batches_count_more_than_the_ledger(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "a")) as spool:
        spool.ledger.capture(3)
        spool.keep(Batch([b"x"], 10))
        with copied(tmp_path / "a", tmp_path / "b") as following:
            assert following.ledger.balance() == Balance(10, 0, {})
        shutil.copytree(tmp_path / "a", tmp_path / "c")
        (tmp_path / "c" / "ledger").write_bytes(b"")
        with closing(Spool(tmp_path / "c")) as following:
            assert following.ledger.balance() == Balance(10, 0, {})


def test_what_is_left_unfinished_is_removed_and_other_files_are_let_alone(tmp_path: Path) -> None:
    (tmp_path / "unfinished").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    with closing(Spool(tmp_path)) as spool:
        assert spool.left == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger", "lock", "notes.txt"]


def test_a_folder_is_for_one_agent_at_a_time(tmp_path: Path) -> None:
    with (
        closing(Spool(tmp_path)),
        pytest.raises(SpoolError, match="in use by another agent: stop it, or name another folder"),
    ):
        Spool(tmp_path)
    Spool(tmp_path).close()


def test_what_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"cannot be a spool .*: name a folder to write in, or none"):
        Spool(tmp_path / "file")
    (tmp_path / "folder" / "ledger").mkdir(parents=True)
    with pytest.raises(SpoolError, match="Is a directory"):
        Spool(tmp_path / "folder")


def test_losses_have_a_place_too(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "a")) as spool:
        spool.ledger.capture(7)
        spooled = spool.keep(Batch([b"x"], 7))
        assert spooled is not None
        spool.ledger.lose(7, Loss.SPOOL_FULL, spooled.place)
        with copied(tmp_path / "a", tmp_path / "b") as following:
            assert following.left == []
            assert following.ledger.balance() == Balance(7, 0, {"spool_full": 7})
