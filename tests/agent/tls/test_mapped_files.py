"""bpf/mapped_files.c and agent/tls/mapped_files.py: which files processes begin to run code from, each told once."""

import contextlib
import mmap
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.kernel import bpf_maps
from agent.kernel.loader_options import Options
from agent.tls.mapped_files import MappedFiles, NewMapping
from agent.tls.mappings import identify, mapped_files
from tests.agent.kernel.watching import open_source
from tests.agent.tls.building import tool
from tests.agent.tls.watching import loaded
from tests.waiting import until

pytestmark = pytest.mark.kernel


class Told:
    """What is told of one file; of the others on this machine there is no end."""

    def __init__(self, mapped: MappedFiles, path: Path) -> None:
        self._mapped = mapped
        self._path = path

    def take(self) -> list[NewMapping]:
        inode = self._path.stat().st_ino
        return [mapping for mapping in self._mapped.take() if mapping.inode == inode]

    def once(self) -> NewMapping:
        (mapping,) = self.take()
        return mapping


@pytest.fixture
def mapped(mapping_maps: Mapping[str, int]) -> Iterator[MappedFiles]:
    listening = MappedFiles.open(mapping_maps)
    listening.take()
    listening.begin_round()
    yield listening
    listening.close()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return Path(shutil.copy(tool("true"), tmp_path / "a program"))


@pytest.fixture
def library(tmp_path: Path, fake_library: Path) -> Path:
    return Path(shutil.copy(fake_library, tmp_path / "a library.so"))


def run(program: Path) -> int:
    with subprocess.Popen([program]) as child:
        child.wait()
    return child.pid


def map_to_execute(path: Path) -> None:
    """One call of mmap for a part of a file, which is undone."""
    with path.open("rb") as file:
        mmap.mmap(file.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE).close()


def test_a_program_is_told_when_it_starts_until_it_is_known(mapped: MappedFiles, program: Path) -> None:
    told = Told(mapped, program)
    for _ in range(2):
        process = run(program)
        mapping = told.once()
        assert mapping.process == process
    mapped.know(mapping)
    run(program)
    assert told.take() == []
    assert mapped.lost == 0


def test_a_library_is_told_when_it_is_loaded_until_it_is_known(mapped: MappedFiles, library: Path) -> None:
    told = Told(mapped, library)
    with loaded(library):
        mapping = told.once()
        assert mapping.process == os.getpid()
        identity, content = identify(str(library))
        assert mapping.content == content
        if identity.device >= 0:  # see test_mapped_overlays.py
            (found,) = (one for one in mapped_files("/proc", os.getpid()) if one.path == str(library))
            assert (mapping.device, mapping.inode) == (found.device, found.inode)
    mapped.know(mapping)
    with loaded(library):
        assert told.take() == []


def test_in_the_next_round_everything_is_told_again(mapped: MappedFiles, program: Path) -> None:
    told = Told(mapped, program)
    run(program)
    mapped.know(told.once())
    mapped.begin_round()
    run(program)
    mapped.know(told.once())
    run(program)
    assert told.take() == []


def test_a_file_that_was_written_to_is_another_one(mapped: MappedFiles, library: Path) -> None:
    told = Told(mapped, library)
    os.utime(library, (1, 1))  # the clock of files may stand still for some milliseconds
    map_to_execute(library)
    mapped.know(told.once())
    with library.open("r+b") as file:
        file.write(library.read_bytes())  # the same, of the same size, in its place
    map_to_execute(library)
    assert told.once()
    time_before = library.stat().st_mtime_ns
    with library.open("ab") as file:
        file.write(b"more")
    os.utime(library, ns=(time_before, time_before))
    map_to_execute(library)
    assert told.once()


def test_a_file_that_was_replaced_is_another_one(mapped: MappedFiles, program: Path) -> None:
    run(program)
    mapped.know(Told(mapped, program).once())
    shutil.copy2(program, program.with_name("new"))
    program.with_name("new").rename(program)
    run(program)
    assert Told(mapped, program).once()


def test_an_inode_that_comes_back_is_another_file(mapped: MappedFiles, tmp_path: Path) -> None:
    """With the content and the times of the one that had its number before."""
    content, times = bytes(mmap.PAGESIZE), (1, 1)
    numbers: set[int] = set()
    path = tmp_path / "file"
    told: list[NewMapping] = []
    while not told:
        path.write_bytes(content)
        os.utime(path, ns=times)
        inode = path.stat().st_ino
        map_to_execute(path)
        mapping = Told(mapped, path).once()
        if inode in numbers:
            told.append(mapping)
        numbers.add(inode)
        mapped.know(mapping)
        if len(numbers) > 64:
            pytest.skip("this file system uses no number again")
        path.unlink()


def test_what_is_not_executed_or_no_file_is_not_told(mapped: MappedFiles, library: Path) -> None:
    mapped.take()
    with library.open("rb") as file:
        mmap.mmap(file.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE).close()
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    assert [mapping for mapping in mapped.take() if mapping.process == os.getpid()] == []


def test_a_call_that_fails_is_not_told(mapped: MappedFiles, library: Path) -> None:
    """It is opened to be written to, which does not allow to read it."""
    told = Told(mapped, library)
    descriptor = os.open(library, os.O_WRONLY)
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
    os.close(descriptor)
    assert told.take() == []
    map_to_execute(library)
    assert told.once()


def test_nothing_is_told_before_the_first_round(mapping_maps: Mapping[str, int], program: Path) -> None:
    listening = MappedFiles.open(mapping_maps)
    listening.take()
    run(program)
    assert listening.take() == []


@contextlib.contextmanager
def narrow(**bounds: Any) -> Iterator[tuple[MappedFiles, Mapping[str, int]]]:  # noqa: ANN401 # those of Options
    """Programs with small maps."""
    with open_source(only_processes=(), options=Options(**bounds)) as source:
        mapped = MappedFiles.open(source.loaded.maps)
        mapped.begin_round()
        yield mapped, source.loaded.maps


def test_more_mappings_than_the_ring_has_room_for(library: Path) -> None:
    """What is lost is counted, and told when it is mapped once more."""
    size = mmap.PAGESIZE
    with narrow(mapped_bytes=size) as (mapped, _):
        often = 2 * size // 56
        for _ in range(often):
            map_to_execute(library)
        told = Told(mapped, library).take()
        assert 0 < len(told) <= size // 56
        assert mapped.lost >= often - len(told) > 0  # and what others have mapped meanwhile
        map_to_execute(library)
        mapped.know(Told(mapped, library).once())
        map_to_execute(library)
        assert Told(mapped, library).take() == []


def test_more_files_than_are_remembered(tmp_path: Path) -> None:
    """Each is told, and known at first; those that make room for others are told once more."""
    room, number = 256, 1024
    paths = [tmp_path / str(name) for name in range(number)]
    for path in paths:
        path.write_bytes(bytes(mmap.PAGESIZE))
    with narrow(known_files=room) as (mapped, maps):
        for path in paths:
            map_to_execute(path)
            mapped.know(Told(mapped, path).once())
            map_to_execute(path)
            assert Told(mapped, path).take() == []
        assert 0 < sum(1 for _ in bpf_maps.keys(maps["known_files"])) <= room
        again = 0
        for path in paths:
            map_to_execute(path)
            told = Told(mapped, path).take()
            again += len(told)
        assert number - room <= again <= number
        assert mapped.lost == 0


def test_a_thread_that_is_killed_within_its_call_leaves_no_room_taken(mapped: MappedFiles, library: Path) -> None:
    """The map of calls forgets by itself; nothing is told of a process that is gone, and the next one is."""
    endless = f"import mmap\nfile=open({str(library)!r},'rb')\nwhile True:\n "
    call = "mmap.mmap(file.fileno(),4096,prot=5,flags=2).close()"
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-S", "-c", endless + call]) as child:
            told = Told(mapped, library)
            until(lambda: any(mapping.process == child.pid for mapping in told.take()))  # noqa: B023 - called at once
            child.send_signal(signal.SIGKILL)
        mapped.take()
    map_to_execute(library)
    assert Told(mapped, library).once().process == os.getpid()
