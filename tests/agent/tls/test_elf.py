"""agent/tls/elf.py against readelf, and against files that are not what they seem."""

import os
import random
import re
import shutil
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tls import elf as elf_module
from agent.tls.elf import CHUNK, IS_EXECUTABLE, LOAD, ElfError, ElfFile, ForeignError
from tests.agent.tls.building import compile_c, output, tool


def libraries() -> list[Path]:
    """A few of the machine's own libraries, and this Python."""
    mapped = Path("/proc/self/maps").read_text().split()
    found = sorted({word for word in mapped if re.search(r"/lib[^/]*\.so[.\d]*$", word) and Path(word).exists()})
    return [Path(sys.executable).resolve(), *map(Path, found[:6])]


@pytest.mark.parametrize("path", libraries(), ids=lambda path: path.name)
def test_segments_and_sections_are_those_of_readelf(path: Path) -> None:
    segments = re.findall(
        r"^  (LOAD|DYNAMIC|NOTE) +0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+) 0x[0-9a-f]+ (...) 0x",
        output(tool("readelf"), "-lW", path),
        re.MULTILINE,
    )
    kinds = {"LOAD": 1, "DYNAMIC": 2, "NOTE": 4}
    bits = {"R": 4, "W": 2, "E": 1, " ": 0}
    expected = [
        (kinds[kind], int(offset, 16), int(address, 16), int(size, 16), sum(bits[letter] for letter in flags))
        for kind, offset, address, size, flags in segments
    ]
    sections = re.findall(
        r"^  \[ *\d+\] (\S+) +(?!NULL)([A-Z_0-9]+) +([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+) ",
        output(tool("readelf"), "-SW", path),
        re.MULTILINE,
    )
    with ElfFile(str(path)) as elf:
        found = [(s.kind, s.offset, s.address, s.size, s.flags) for s in elf.segments if s.kind in kinds.values()]
        assert found == expected
        assert [(s.name, s.address, s.offset, s.size) for s in elf.sections[1:]] == [
            (name, int(address, 16), int(offset, 16), 0 if kind == "NOBITS" else int(size, 16))
            for name, kind, address, offset, size in sections
        ]


def test_the_build_id_is_that_of_readelf() -> None:
    for path in libraries():
        found = re.search(r"Build ID: ([0-9a-f]+)", output(tool("readelf"), "-n", path))
        with ElfFile(str(path)) as elf:
            assert elf.build_id == (found[1] if found else "")


def test_addresses_and_places_in_the_file_belong_together() -> None:
    for path in libraries():
        with ElfFile(str(path)) as elf:
            for segment in (one for one in elf.segments if one.kind == LOAD and one.size):
                for step in (0, segment.size // 2, segment.size - 1):
                    assert elf.offset_of(segment.address + step) == segment.offset + step
                    assert elf.read_at(elf.address_of(segment.offset + step), 1) == elf.read(segment.offset + step, 1)
            code = next(one for one in elf.segments if one.flags & IS_EXECUTABLE)
            assert elf.offset_of(code.address, IS_EXECUTABLE) == code.offset
            with pytest.raises(ElfError, match="nothing is loaded"):
                elf.offset_of(1 << 62)
            with pytest.raises(ElfError, match="not loaded"):
                elf.address_of(1 << 62)


def test_pieces_overlap_and_are_everything(tmp_path: Path, fake_library: Path) -> None:
    path = tmp_path / "long.so"
    data = fake_library.read_bytes() + random.Random(1).randbytes(3 * CHUNK)
    path.write_bytes(data)
    with ElfFile(str(path)) as elf:
        joined = b""
        for begin, piece in elf.chunks(7, len(data) - 7, 100):
            assert begin == 7 + max(0, len(joined) - 100)
            assert piece == data[begin : begin + len(piece)]
            assert len(piece) <= CHUNK + 100
            joined = joined[: begin - 7] + piece
        assert joined == data[7:]


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n" * 10, b"\x7fELF\x01\x01\x01" + bytes(100)])
def test_other_files_are_foreign(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ForeignError):
        ElfFile(str(path))


def test_an_object_file_is_foreign(tmp_path: Path) -> None:
    source = tmp_path / "source.c"
    source.write_text("int one(void) { return 1; }\n")
    with pytest.raises(ForeignError, match="neither a program nor a library"):
        ElfFile(str(compile_c(tmp_path / "object.o", source, "-c")))


def test_a_pipe_does_not_hold_anybody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ForeignError):
        ElfFile(str(tmp_path / "pipe"))


def test_a_file_that_becomes_shorter(tmp_path: Path, fake_library: Path) -> None:
    path = str(shutil.copy(fake_library, tmp_path))
    with ElfFile(path) as elf:
        os.truncate(path, 64)
        with pytest.raises(ElfError, match="has become shorter"):
            _ = elf.sections


def test_reading_ends(monkeypatch: pytest.MonkeyPatch, fake_library: Path) -> None:
    monkeypatch.setattr(elf_module, "MOST_BYTES", 10 * 4096)
    with ElfFile(str(fake_library)) as elf:
        for _ in range(8):  # and twice for the head
            elf.read(0, 1)
        with pytest.raises(ElfError, match="too much"):
            elf.read(0, 1)


@given(st.data())
def test_a_damaged_head_is_an_error_or_another_file(fake_library: Path, data: st.DataObject) -> None:
    content = bytearray(fake_library.read_bytes())
    at = data.draw(st.integers(0, 63 + 56 * 8))
    size = data.draw(st.sampled_from([1, 2, 4, 8]))
    value = data.draw(st.integers(0, (1 << 8 * size) - 1))
    content[at : at + size] = struct.pack("<Q", value)[:size]
    path = fake_library.with_name("damaged.so")
    path.write_bytes(content)
    try:
        with ElfFile(str(path)) as elf:
            _ = elf.sections, elf.build_id
            for segment in elf.segments:
                elf.offset_of(segment.address)
    except ElfError:
        pass
