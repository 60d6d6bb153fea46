"""Recordings of real servers with real clients: their replay tells what both programs said, and always the same bytes.

tests/data/make_http_recordings.py makes them.
"""

import json
from pathlib import Path

import pytest

from agent.commands.replay import play
from agent.config import Configuration
from agent.events.recording import RecordingReader
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from tests.e2e.http.account import Expected, check
from tests.e2e.http.watching import read_exchanges

FOLDER = Path(__file__).parents[1] / "data" / "http"
NAMES = sorted(path.stem for path in FOLDER.glob("*.events"))


def replayed(name: str) -> tuple[list[bytes], Ledger]:
    batches: list[Batch] = []
    ledger = Ledger()
    with (FOLDER / f"{name}.events").open("rb") as file:
        play(RecordingReader(file), Configuration(), ledger, batches.append)
    assert sum(batch.logs for batch in batches) == ledger.balance().captured
    return [message for batch in batches for message in batch.messages], ledger


def test_every_pair_is_there() -> None:
    assert len(NAMES) == 73


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_tells_what_both_programs_said(name: str) -> None:
    said = json.loads((FOLDER / f"{name}.json").read_text())
    messages, _ = replayed(name)
    told = [one for one in read_exchanges(messages) if one.port == said["port"] and one.start_ns >= said["since_ns"]]
    for role in ("server", "client"):
        accounts = [one.account for one in told if one.role == role]
        # A proxy knows nothing of what it carries in a tunnel, so that its leg's two ends differ.
        expected = [Expected(**one) for one in [*said["exchanges"], *said.get(f"at_{role}", ())]]
        check(expected, accounts, ("the programs", f"the replay, at the {role}"))


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_always_gives_the_same_bytes(name: str) -> None:
    assert replayed(name)[0] == replayed(name)[0]
