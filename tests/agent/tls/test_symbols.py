"""agent/tls/symbols.py against readelf, and against damaged tables."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.tls.elf import CHUNK, ElfError, ElfFile
from agent.tls.symbols import executable_offsets, find_functions, find_strings
from tests.agent.tls.building import FAKE_LIBRARY, compile_c, defined_functions, tool
from tests.agent.tls.test_elf import libraries
from tests.fuzz.mutations import mutated

EXECUTABLE_TEXT = {"SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex", "SSL_sendfile", "SSL_do_handshake"}


def found(path: Path, names: list[str]) -> dict[str, frozenset[int]]:
    with ElfFile(str(path)) as elf:
        return find_functions(elf, names)


@pytest.mark.parametrize("path", libraries(), ids=lambda path: path.name)
def test_every_function_that_others_link_to_is_found(path: Path) -> None:
    defined = defined_functions(path)
    # Some libraries have very many; and a short name is the end of many others, which is bounded as well.
    long = [name for name in sorted(defined) if len(name) >= 12]
    names = random.Random(path.name).sample(long, min(len(long), 500))
    expected = {name: defined[name] for name in names}
    assert found(path, sorted(expected)) == {name: frozenset(places) for name, places in expected.items()}
    assert found(path, ["SSL_no_such_function", "SSL_no_such"]) == {}


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_either_hash_table_will_do(tmp_path: Path, style: str) -> None:
    path = compile_c(tmp_path / "lib.so", FAKE_LIBRARY, "-shared", "-fPIC", f"-Wl,--hash-style={style}")
    subprocess.run([tool("strip"), path], check=True)
    expected = defined_functions(path)
    assert expected.keys() >= EXECUTABLE_TEXT
    assert found(path, sorted(expected)) == {name: frozenset(places) for name, places in expected.items()}


def test_functions_that_are_only_imported_are_not_there(tmp_path: Path, fake_library: Path) -> None:
    source = tmp_path / "user.c"
    source.write_text("int SSL_read(void *, void *, int);\nint main(void) { return SSL_read(0, 0, 0); }\n")
    path = compile_c(tmp_path / "user", source, str(fake_library))
    assert found(path, ["SSL_read"]) == {}
    assert found(path, ["main"]) == {"main": frozenset(defined_functions(path, "--symbols")["main"])}


def test_a_program_with_the_library_built_in_has_them_in_its_symbols(tmp_path: Path) -> None:
    main = tmp_path / "main.c"
    main.write_text(f'#include "{FAKE_LIBRARY}"\nint main(void) {{ return 0; }}\n')
    path = compile_c(tmp_path / "program", main, "-static")
    expected = defined_functions(path, "--symbols")
    assert found(path, sorted(EXECUTABLE_TEXT)) == {name: frozenset(expected[name]) for name in EXECUTABLE_TEXT}
    subprocess.run([tool("strip"), path], check=True)
    assert found(path, sorted(EXECUTABLE_TEXT)) == {}


def test_places_in_the_file_are_those_that_a_disassembler_shows(fake_library: Path) -> None:
    with ElfFile(str(fake_library)) as elf:
        functions = find_functions(elf, ["SSL_read", "SSL_write"])
        offsets = executable_offsets(elf, [address for places in functions.values() for address in places])
        assert len(offsets) == 2
        code = fake_library.read_bytes()
        assert all(elf.read(offset, 4) == code[offset : offset + 4] for offset in offsets)
        with pytest.raises(ElfError):
            executable_offsets(elf, [elf.segments[0].address])


def test_strings_are_found_across_pieces(tmp_path: Path, fake_library: Path) -> None:
    path = tmp_path / "long.so"
    head = fake_library.read_bytes()
    table = bytearray(2 * CHUNK)
    places = [0, 5, CHUNK - 9, CHUNK - 5, CHUNK, CHUNK + 4, 2 * CHUNK - 9]
    for place in places:
        table[place : place + 3] = b"SSL"
    path.write_bytes(head + table)
    with ElfFile(str(path)) as elf:
        assert sorted(find_strings(elf, len(head), len(table), [b"SSL", b"L", b"TLS"])) == sorted(
            place + step for place in places for step in (0, 2)
        )


def test_a_table_of_nothing_but_the_name_is_an_error(tmp_path: Path, fake_library: Path) -> None:
    path = tmp_path / "long.so"
    head = fake_library.read_bytes()
    path.write_bytes(head + b"SSL_read\0" * 10_000)
    with ElfFile(str(path)) as elf, pytest.raises(ElfError, match="many times"):
        find_strings(elf, len(head), 90_000, [b"SSL_read"])


@pytest.mark.parametrize("seed", range(5))
def test_damaged_files_are_an_error_or_other_files(tmp_path: Path, fake_library: Path, seed: int) -> None:
    source = random.Random(seed)
    path = Path(shutil.copy(fake_library, tmp_path))
    whole = path.read_bytes()
    for _ in range(200):
        path.write_bytes(mutated(source, whole))
        try:
            functions = found(path, sorted(EXECUTABLE_TEXT))
        except ElfError:
            continue
        assert functions.keys() <= EXECUTABLE_TEXT
