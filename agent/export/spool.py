"""The spool: a folder with the batches that have no answer yet, for the next agent when this one is killed.

A batch is a file that appears whole, by renaming. Its name has its place among others, the number of its logs, so that
a file that cannot be read is a loss with a number, and its id. Beside the batches are the ledger of all agents that had
the folder (agent/export/ledger_file.py) and a file that says whose it is now.

Nothing is forced to the disk: what is in the spool survives the death of the agent. After that of the machine a batch
may be damaged, which its checksum shows.
"""

import contextlib
import fcntl
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.export.accounting import Balance, Ledger, Loss
from agent.export.assembler import Batch
from agent.export.ledger_file import SETTLED, LedgerFile

MARK = b"pyroverb"
"""What a batch's file begins with; it changes with the format."""
_HEAD_BYTES = len(MARK) + 4
_NAME = re.compile(r"(\d{16})-(\d+)-([0-9a-f-]{36})\.batch")
_UNFINISHED = "unfinished"


class SpoolError(Exception):
    """The spool cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A batch that is in the spool."""

    place: int
    id: str
    logs: int
    size: int
    """Bytes of its file."""

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.place:016}-{self.logs}-{self.id}.batch"


class Spool:
    """A folder of batches, for one agent at a time. Not safe for several threads.

    Attributes:
        ledger: Counts what all agents that had this folder have captured, delivered and lost.
        left: The batches that the agent before has left, the oldest first.
        failures: Batches that could not be put into it.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder, which need not exist.

        Raises:
            SpoolError: it cannot be used, or another agent has it.
        """
        self._folder = folder
        self.failures = 0
        self._kept: dict[int, Spooled] = {}
        self._unremoved: list[Spooled] = []
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._record = LedgerFile(folder / "ledger")
            (folder / _UNFINISHED).unlink(missing_ok=True)
            found = sorted(filter(None, map(_spooled, folder.iterdir())), key=lambda spooled: spooled.place)
        except BlockingIOError as error:
            os.close(self._lock)
            raise SpoolError(f"{folder} is in use by another agent: stop it, or name another folder") from error
        except OSError as error:
            os.close(self._lock)
            raise _unusable(folder, error) from error
        settled = set(self._record.settled)
        self.left: Sequence[Spooled] = [spooled for spooled in found if spooled.place not in settled]
        self._place = max([*settled, *(spooled.place for spooled in found)], default=0)
        before = _taken_over(self._record.before, sum(spooled.logs for spooled in self.left))
        # The agent before was killed after it had settled these, and before it had removed them.
        finished = [spooled for spooled in found if spooled.place in settled]
        self.ledger = Ledger(before, self._record, [spooled.place for spooled in finished])
        for spooled in finished:
            self.remove(spooled)

    @property
    def record_failures(self) -> int:
        """Changes of the ledger that could not be kept: after a kill, the counts are wrong by them."""
        return self._record.failures

    def keep(self, batch: Batch) -> Spooled | None:
        """Put a batch into the spool; None when that is not possible now."""
        if len(self._unremoved) >= SETTLED - 1:
            self.failures += 1  # what is settled could not be told from what is not
            return None
        content = _content(batch)
        spooled = Spooled(self._place + 1, batch.id, batch.logs, len(content))
        unfinished = self._folder / _UNFINISHED
        try:
            unfinished.write_bytes(content)
            unfinished.rename(self._folder / spooled.name)
        except OSError:
            self.failures += 1
            with contextlib.suppress(OSError):  # else the next one is written over it
                unfinished.unlink(missing_ok=True)
            return None
        self._place = spooled.place
        return spooled

    def load(self, spooled: Spooled) -> Batch | None:
        """A batch of the spool; None when it cannot be read, or is not what was put into it."""
        try:
            content = (self._folder / spooled.name).read_bytes()
        except OSError:
            return None
        messages = _messages(content)
        return None if messages is None else Batch(messages, spooled.logs, spooled.id)

    def remove(self, spooled: Spooled) -> None:
        """Remove a batch that the ledger has settled; when that fails, it is tried again with the next one."""
        self._unremoved.append(spooled)
        for each in list(self._unremoved):
            try:
                (self._folder / each.name).unlink(missing_ok=True)
            except OSError:
                continue
            self._unremoved.remove(each)
            self.ledger.forget(each.place)

    def close(self) -> None:
        """Let another agent have it."""
        self._record.close()
        os.close(self._lock)


def _unusable(folder: Path, error: OSError) -> SpoolError:
    return SpoolError(f"{folder} cannot be a spool ({error.strerror}): name a folder to write in, or none")


def _taken_over(before: Balance | None, spooled: int) -> Balance:
    """What to go on from: what waited and is not in the spool is lost."""
    if before is None:
        return Balance(spooled, 0, {})
    missing = before.waiting - spooled
    if missing < 0:
        # The machine died, and the ledger is older than the batches.
        return Balance(before.captured - missing, before.delivered, before.lost, before.withdrawn)
    if not missing:
        return before
    killed = before.lost.get(Loss.KILLED, 0) + missing
    return Balance(before.captured, before.delivered, {**before.lost, Loss.KILLED.value: killed}, before.withdrawn)


def _spooled(path: Path) -> Spooled | None:
    """What a file of the folder says of itself by its name; None for other files."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    return Spooled(int(found[1]), found[3], int(found[2]), path.stat().st_size)


def _content(batch: Batch) -> bytes:
    """A batch as bytes: mark, CRC-32 of what follows, and messages, each after its length in four bytes."""
    body = b"".join(part for message in batch.messages for part in (len(message).to_bytes(4, "little"), message))
    return MARK + zlib.crc32(body).to_bytes(4, "little") + body


def _messages(content: bytes) -> list[bytes] | None:
    """The messages of a batch; None when these are not the bytes of one."""
    head, body = content[:_HEAD_BYTES], memoryview(content)[_HEAD_BYTES:]
    if head != MARK + zlib.crc32(body).to_bytes(4, "little"):
        return None
    messages = []
    while body:
        length = int.from_bytes(body[:4], "little")
        messages.append(bytes(body[4 : 4 + length]))
        body = body[4 + length :]
    return messages
