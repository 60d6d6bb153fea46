"""agent/discovery/go_programs.py: programs of Go on file systems that answer, and on one that does not."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.discovery.go_programs import GoPrograms
from agent.discovery.procfs import ProcHost
from tests.agent.tls.building import build_go, tool
from tests.agent.tls.silence import SilentFiles, needs_fuse, running, silent_files, starts_nothing
from tests.agent.tls.watching import in_a_thread
from tests.waiting import until

SILENT = "a file system does not answer: whether its programs are of Go is not known"


SOURCE = """package main

import ("io"; "os")

func main() { io.Copy(os.Stdout, os.Stdin) }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    (folder / "go.mod").write_text("module copies\n\ngo 1.21\n")
    (folder / "main.go").write_text(SOURCE)
    return build_go(folder / "copies", sources=folder)


@pytest.fixture
def files(tmp_path: Path, program: Path) -> Iterator[SilentFiles]:
    with silent_files(tmp_path, program, Path(tool("cat"))) as mounted:
        yield mounted


@pytest.fixture
def go_programs() -> Iterator[GoPrograms]:
    asking = GoPrograms(patience_seconds=600)
    yield asking
    asking.close()


def test_of_this_machine(go_programs: GoPrograms, program: Path) -> None:
    with running(program) as child:
        assert go_programs.is_go(child.pid, str(program))
    with running(tool("cat")) as child:
        assert not go_programs.is_go(child.pid, str(Path(f"/proc/{child.pid}/exe").readlink()))
    assert starts_nothing(lambda: go_programs.is_go(os.getpid(), str(Path("/proc/self/exe").readlink())))
    assert go_programs.losses() == {}


def test_a_process_that_has_ended(go_programs: GoPrograms) -> None:
    with running(tool("true")) as child:
        child.wait()
    assert not go_programs.is_go(child.pid, sys.executable)
    assert go_programs.losses() == {}


@needs_fuse
def test_of_a_file_system_that_another_program_serves(go_programs: GoPrograms, files: SilentFiles) -> None:
    copies, cat = files.folder / "copies", files.folder / "cat"
    with running(copies) as one, running(copies) as other, running(cat) as third:
        assert go_programs.is_go(one.pid, str(copies))
        assert not go_programs.is_go(third.pid, str(cat))
        with files.silence():  # it was asked already
            assert go_programs.is_go(other.pid, str(copies))
    assert go_programs.losses() == {}


@needs_fuse
def test_a_file_system_that_does_not_answer_is_waited_for_once(files: SilentFiles) -> None:
    """Until it is back: then what came too late holds, and other files of it are asked again."""
    copies, cat = files.folder / "copies", files.folder / "cat"
    patience = 3600.0
    with running(copies) as one, running(cat) as other:
        go_programs = GoPrograms(patience_seconds=0.01)
        with files.silence():
            assert not go_programs.is_go(one.pid, str(copies))
            go_programs._examiner._seconds = patience  # whoever waits for anything from here on never comes to an end
            assert in_a_thread(lambda: go_programs.is_go(one.pid, str(copies))) is False
            assert in_a_thread(lambda: go_programs.is_go(other.pid, str(cat))) is False
            assert starts_nothing(lambda: go_programs.is_go(other.pid, str(cat)))
            assert go_programs.losses() == {SILENT: 2}
        until(lambda: go_programs.is_go(one.pid, str(copies)))
        assert go_programs.losses() == {SILENT: 2}
        go_programs.close()


@needs_fuse
def test_the_facts_of_a_process_whose_program_cannot_be_read(files: SilentFiles) -> None:
    """All but one are known without a look at the file."""
    copies = files.folder / "copies"
    with running(copies) as child:
        go_programs = GoPrograms(patience_seconds=0.01)
        host = ProcHost(go_programs=go_programs)
        with files.silence():
            facts = in_a_thread(lambda: host.process(child.pid))
        assert facts is not None
        assert (facts.executable, facts.changes_threads) == (str(copies), False)
        until(lambda: (later := host.process(child.pid)) is not None and later.changes_threads)
        go_programs.close()
