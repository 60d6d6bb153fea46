"""Backends that share a folder: one checks, and another goes on where it was."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from backend.alarms.couriers import Couriers
from backend.alarms.engine import Engine
from backend.alarms.lead import FolderLead
from backend.alarms.record_file import FileRecords
from backend.alarms.schedule import DELAY
from backend.alarms.watch import AlarmWatch
from backend.query.graphql.alarms import AlarmQuery
from backend.query.graphql.inputs import Page
from backend.storage.interface import StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.alarms.world import API, CATALOG, CPM, MINUTE, calls, rule, settings

ROOT = Path(__file__).parents[3]


def test_one_has_it_until_it_is_given_up(tmp_path: Path) -> None:
    one, two = FolderLead(tmp_path / "folder" / "lock"), FolderLead(tmp_path / "folder" / "lock")
    assert (one.holds(), two.holds(), one.holds()) == (True, False, True)
    one.close()
    one.close()
    assert (two.holds(), one.holds()) == (True, False)
    two.close()


def test_a_process_that_is_killed_gives_it_up(tmp_path: Path) -> None:
    program = (
        "import signal, sys; from pathlib import Path; from backend.alarms.lead import FolderLead;"
        "lead = FolderLead(Path(sys.argv[1])); print(lead.holds(), flush=True); signal.pause()"
    )
    file = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", program, str(file)], cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"True\n"
        lead = FolderLead(file)
        assert not lead.holds()
        child.kill()
        child.wait()
        assert lead.holds()
        lead.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"lock cannot be made: .*; make its folder one to write to"):
        FolderLead(tmp_path / "file" / "lock")


async def test_the_second_goes_on_where_the_first_was(tmp_path: Path) -> None:
    storage = MemoryStorage()
    calls(storage, API, {0: 11, 1: 11, 2: 1})
    loaded = settings(tmp_path, rule(f"sum({CPM}) > 10", silence_period=0))
    now = 0.0
    leads = [FolderLead(tmp_path / "lock") for _ in range(2)]
    records = [FileRecords(tmp_path / "alarms.sqlite") for _ in range(2)]
    watches = [
        AlarmWatch(
            Engine(storage, lambda: CATALOG, own, loaded.rules),
            own,
            Couriers(),
            holds=lead.holds,
            clock=lambda: now,
        )
        for own, lead in zip(records, leads, strict=True)
    ]
    first, second = watches
    for minute in (1, 2):
        now = (MINUTE + minute) * 60 + DELAY
        for watch in watches:
            assert await watch.check()
    assert (first.engine.minute, first.engine.begun, first.leads) == (MINUTE + 1, 1, True)
    assert (second.engine.minute, second.engine.checked, second.leads) == (None, 0, False)
    everything = AlarmQuery(0, 1 << 60, Page(0, 10))
    assert [alarm.recovery for alarm in records[1].find(everything).alarms] == [None]
    leads[0].close()
    now = (MINUTE + 3) * 60 + DELAY
    assert await second.check()
    assert (second.engine.minute, second.engine.begun) == (MINUTE + 2, 0)
    for own in records:
        assert [alarm.recovery for alarm in own.find(everything).alarms] == [(MINUTE + 3) * 60_000]
        own.close()
    leads[1].close()


def _open(path: str) -> None:
    FileRecords(Path(path)).close()


def test_several_processes_make_the_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open, args=(str(tmp_path / "alarms.sqlite"),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
