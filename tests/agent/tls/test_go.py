"""agent/tls/go.py against Go's own tools and a disassembler, and against damaged tables."""

import random
import re
import shutil
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tls import go as go_module
from agent.tls.elf import ElfError, ElfFile
from agent.tls.go import GoError, GoFunction, find_go_functions, go_version, stack_distances
from tests.agent.tls.building import build_go, output, return_instructions, tool
from tests.fuzz.mutations import mutated

READ, WRITE = "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write"
BOTH = (READ, WRITE)


def functions_of(path: Path, names: tuple[str, ...] | list[str] = BOTH) -> dict[str, GoFunction]:
    with ElfFile(str(path)) as elf:
        return find_go_functions(elf, names)


def listed(path: Path, pattern: str) -> dict[str, tuple[int, int]]:
    """Address and size of the functions whose names match, as Go's linker wrote them down."""
    go = tool("go", "/usr/local/go/bin/go")
    lines = re.findall(r"^ *([0-9a-f]+) +(\d+) [Tt] (.+)$", output(go, "tool", "nm", "-size", path), re.MULTILINE)
    return {name: (int(address, 16), int(size)) for address, size, name in lines if re.search(pattern, name)}


def test_every_function_of_a_program_is_found_where_it_is(go_program: Path) -> None:
    # What is written in assembly (runtime) may have two functions of one name, one for each way of calling.
    expected = listed(go_program, r"^(crypto/tls|net/http|encoding/json|net)\.")
    assert len(expected) > 1500
    with ElfFile(str(go_program)) as elf:
        table = go_module._Table(elf)
        found = table.find(list(expected))
        assert found.keys() == expected.keys()
        for name in found:
            try:
                entry = table.describe(found[name]).entry
            except GoError:
                continue  # without a frame
            assert entry == elf.offset_of(expected[name][0]), name


def test_returns_are_those_that_a_disassembler_finds(go_program: Path) -> None:
    every = return_instructions(go_program)
    checked = 0
    with ElfFile(str(go_program)) as elf:
        table = go_module._Table(elf)
        expected = listed(go_program, r"^(crypto/tls|net/http)\.")
        for name, number in table.find(list(expected)).items():
            try:
                function = table.describe(number)
            except GoError:
                continue
            address, size = expected[name]
            returns = every[bisect_left(every, address) : bisect_left(every, address + size)]
            assert [elf.address_of(offset) for offset in function.returns] == returns, name
            checked += 1
    assert checked > 1000


def same_code(one: Path, other: Path, function: GoFunction, other_function: GoFunction) -> bool:
    """Whether two programs have the same function, but for addresses: its returns are equally far from its entry."""
    distances, other_distances = (
        [offset - found.entry for offset in found.returns] for found in (function, other_function)
    )
    codes = [path.read_bytes()[found.entry :][:32] for path, found in ((one, function), (other, other_function))]
    return distances == other_distances and codes[0] == codes[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "external"),
    [
        (("-ldflags=-s -w",), False),
        (("-buildmode=pie", "-ldflags=-s -w"), False),
        (("-ldflags=-s -w -linkmode=external",), True),
        (("-buildmode=pie", "-ldflags=-s -w -linkmode=external"), True),
        (("-buildmode=pie", "-ldflags=-s -w -linkmode=external -extldflags=-static-pie"), True),
    ],
    ids=["stripped", "stripped pie", "external", "external pie", "static pie"],
)
def test_however_it_is_linked(tmp_path: Path, go_program: Path, options: tuple[str, ...], *, external: bool) -> None:
    path = build_go(tmp_path / "program", *options, external=external)
    plain, found = functions_of(go_program), functions_of(path)
    assert found.keys() == set(BOTH)
    assert all(len(function.returns) > 1 for function in found.values())
    if "pie" not in options[0]:
        assert all(same_code(go_program, path, plain[name], found[name]) for name in BOTH)
    symbols = build_go(tmp_path / "symbols", *(option.replace("-s -w", "") for option in options), external=external)
    with ElfFile(str(symbols)) as elf:
        expected = {
            name: elf.offset_of(address) for name, (address, _) in listed(symbols, re.escape("(*Conn)")).items()
        }
    assert {name: function.entry for name, function in functions_of(symbols).items()} == {
        name: expected[name] for name in BOTH
    }
    assert all(same_code(symbols, path, functions_of(symbols)[name], found[name]) for name in BOTH)


def test_without_names_of_sections(tmp_path: Path, go_program: Path) -> None:
    path = Path(shutil.copy(go_program, tmp_path))
    content = bytearray(path.read_bytes())
    content[0x28:0x30] = bytes(8)  # e_shoff
    content[0x3C:0x3E] = bytes(2)  # e_shnum
    path.write_bytes(content)
    with ElfFile(str(path)) as elf:
        assert elf.sections == ()
        assert go_version(elf) is not None
        assert find_go_functions(elf, BOTH) == functions_of(go_program)


@pytest.mark.slow
def test_for_another_machine(tmp_path: Path) -> None:
    path = build_go(tmp_path / "program", "-ldflags=-s -w", machine="arm64")
    code = path.read_bytes()
    found = functions_of(path)
    assert found.keys() == set(BOTH)
    for function in found.values():
        assert all(code[offset : offset + 4] == bytes.fromhex("c0035fd6") for offset in function.returns)


def test_the_version_is_that_of_the_tool(go_program: Path, fake_library: Path) -> None:
    go = tool("go", "/usr/local/go/bin/go")
    found = re.search(r": go(\d+)\.(\d+)", output(go, "version", go_program))
    assert found is not None
    with ElfFile(str(go_program)) as elf:
        assert go_version(elf) == (int(found[1]), int(found[2]))
    with ElfFile(str(fake_library)) as elf:
        assert go_version(elf) is None
        with pytest.raises(GoError, match="no table of functions"):
            find_go_functions(elf, BOTH)


def test_functions_that_a_program_lacks(go_program: Path) -> None:
    assert functions_of(go_program, ("crypto/tls.(*Conn).Dance", "Read")) == {}


def varint(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(-8, 4000)), min_size=1, max_size=40),
    st.sampled_from([1, 4]),
)
def test_distances_are_read_as_they_were_written(ranges: list[tuple[int, int]], quantum: int) -> None:
    table, place, before, expected = b"", 0, -1, []
    for length, value in ranges:
        if value == before and place:
            continue  # the linker writes no such range
        change = value - before
        table += varint(change << 1 if change >= 0 else (-change << 1) - 1) + varint(length)
        expected.append((place, place + length * quantum, value))
        place, before = expected[-1][1], value
    assert list(stack_distances(table + b"\0", quantum)) == expected
    assert list(stack_distances(table, quantum)) == expected


@given(st.binary(max_size=200))
def test_any_distances_come_to_an_end(table: bytes) -> None:
    ranges = list(stack_distances(table, 1))
    assert len(ranges) <= len(table)
    assert all(begin < end for begin, end, _ in ranges)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_programs_are_an_error_or_other_programs(tmp_path: Path, stripped_go_program: Path, seed: int) -> None:
    source = random.Random(seed)
    path = Path(shutil.copy(stripped_go_program, tmp_path))
    whole = path.read_bytes()
    with ElfFile(str(path)) as elf:
        table = elf.section(".gopclntab")
        assert table is not None
        heads = [(0, 64 + 56 * 14), (table.offset, 128), (len(whole) - 64 * 30, 64 * 30)]
    for _ in range(60):
        begin, size = source.choice(heads)
        damaged = mutated(source, whole[begin : begin + size])[:size].ljust(size, b"\0")
        with path.open("r+b") as file:
            file.seek(begin)
            file.write(damaged)
        try:
            functions = functions_of(path)
        except ElfError:
            functions = {}
        with path.open("r+b") as file:
            file.seek(begin)
            file.write(whole[begin : begin + size])
        assert functions.keys() <= set(BOTH)
    assert functions_of(path).keys() == set(BOTH)
