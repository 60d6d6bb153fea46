import os
import random
import zlib
from pathlib import Path

import msgspec
import pytest

from agent.export.accounting import Balance, Ledger, Loss
from agent.export.ledger_file import SETTLED, SLOT_BYTES, LedgerFile


def read(path: Path) -> tuple[Balance | None, list[int]]:
    file = LedgerFile(path)
    file.close()
    return file.before, list(file.settled)


def test_a_new_one_has_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "ledger") == (None, [])


def test_the_latest_state_is_there_afterwards(tmp_path: Path) -> None:
    file = LedgerFile(tmp_path / "ledger")
    ledger = Ledger(record=file)
    ledger.capture(100)
    ledger.withdraw(5)
    ledger.deliver(40, 7)
    ledger.lose(3, Loss.REFUSED, 8)
    ledger.lose(2, Loss.QUEUE_FULL)
    ledger.forget(7)
    ledger.capture(1)
    # Not closed: as when the process is killed.
    assert read(tmp_path / "ledger") == (Balance(96, 40, {"refused": 3, "queue_full": 2}, 5), [8])
    assert ledger.balance() == Balance(96, 40, {"refused": 3, "queue_full": 2}, 5)
    file.close()


def test_a_slot_that_is_torn_anywhere_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    file = LedgerFile(path)
    file.write(Balance(10, 0, {}), [])
    file.write(Balance(20, 5, {"killed": 2}), [3])
    before = path.read_bytes()
    file.write(Balance(30, 9, {"killed": 4}), [3, 4])
    after = path.read_bytes()
    file.close()
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    assert changed
    for at in changed:
        path.write_bytes(after[:at] + before[at:])
        assert read(path) == (Balance(20, 5, {"killed": 2}), [3])
    path.write_bytes(after)
    assert read(path) == (Balance(30, 9, {"killed": 4}), [3, 4])


def test_what_is_no_ledger_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    chance = random.Random(5)
    for _ in range(100):
        path.write_bytes(chance.randbytes(2 * SLOT_BYTES))
        assert read(path) == (None, [])


@pytest.mark.parametrize(
    "told",
    [
        msgspec.msgpack.encode((-1, 0, 0, 0, {}, [])),
        msgspec.msgpack.encode((2**63, 0, 0, 0, {}, [])),
        msgspec.msgpack.encode((1, 2**63, 0, 0, {}, [])),
        msgspec.msgpack.encode((1, 0, 0, 0, {"killed": -1}, [])),
        msgspec.msgpack.encode((1, 0, 0, 0, {"killed": 1}, [])).replace(b"ill", b"\xff\xff\xff"),
    ],
)
def test_numbers_and_texts_that_no_ledger_has_are_none(tmp_path: Path, told: bytes) -> None:
    slot = zlib.crc32(told).to_bytes(4, "little") + len(told).to_bytes(4, "little") + told
    (tmp_path / "ledger").write_bytes(slot)
    assert read(tmp_path / "ledger") == (None, [])


def test_the_largest_state_fits_a_slot(tmp_path: Path) -> None:
    huge = 2**63 - 1
    file = LedgerFile(tmp_path / "ledger")
    balance = Balance(huge, huge, {cause.value: huge for cause in Loss}, huge)
    file.write(balance, [huge] * (SETTLED + 5))
    file.close()
    assert (tmp_path / "ledger").stat().st_size == 2 * SLOT_BYTES
    assert read(tmp_path / "ledger") == (balance, [huge] * SETTLED)


def test_a_state_that_cannot_be_kept_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LedgerFile(tmp_path / "ledger")

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        file.write(Balance(1, 0, {}), [])
    assert file.failures == 1
    file.write(Balance(2, 0, {}), [])
    file.close()
    assert read(tmp_path / "ledger") == (Balance(2, 0, {}), [])
