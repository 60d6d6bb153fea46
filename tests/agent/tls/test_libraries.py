"""agent/tls/libraries.py: what is taken for a library that encrypts, and what is not."""

import errno
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from agent.tls.elf import ElfFile, ForeignError
from agent.tls.go import GoError
from agent.tls.libraries import C_FUNCTIONS, GO_FUNCTIONS, Place, examine
from tests.agent.tls.building import FAKE_LIBRARY, compile_c, defined_functions, tool


def mapped(name: str) -> Path:
    """A library that a program of this machine has loaded."""
    lines = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True).stdout.splitlines()
    found = next((line.rpartition(" => ")[2] for line in lines if line.split()[:1] == [name]), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return Path(found).resolve()


def offsets(path: Path, table: str = "--dyn-syms") -> dict[str, int]:
    functions = defined_functions(path, table)
    with ElfFile(str(path)) as elf:
        return {name: elf.offset_of(min(places)) for name, places in functions.items() if name in C_FUNCTIONS}


@pytest.mark.parametrize(
    ("library", "name", "prefix"), [("libssl.so.3", "OpenSSL", "SSL_"), ("libgnutls.so.30", "GnuTLS", "gnutls_")]
)
def test_the_libraries_of_the_distribution(library: str, name: str, prefix: str) -> None:
    path = mapped(library)
    found = examine(str(path))
    expected = {function: offset for function, offset in offsets(path).items() if function.startswith(prefix)}
    assert found.names == (name,)
    assert set(found.places) == {
        Place(function, offset, at_return) for function, offset in expected.items() for at_return in (False, True)
    }
    assert len(expected) >= 5
    assert found.build_id


def test_this_python_uses_the_library_that_is_found() -> None:
    assert ssl.OPENSSL_VERSION
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    paths = {fields[5] for fields in lines if len(fields) > 5 and "libssl" in fields[5]}
    if not paths:
        pytest.skip("this Python has OpenSSL built in")
    assert all(examine(path).names == ("OpenSSL",) for path in paths)


def test_a_program_with_the_library_built_in() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    path = Path(node).resolve()
    if b"SSL_do_handshake" not in path.read_bytes():
        pytest.skip("this Node.js uses the library of the distribution")
    assert examine(str(path)).names == ("OpenSSL",)


def test_a_library_that_imitates_another_is_passed_over() -> None:
    assert examine(str(mapped("libgnutls-openssl.so.27"))).places == ()


def test_functions_without_their_companions_are_something_else(tmp_path: Path) -> None:
    source = tmp_path / "source.c"
    source.write_text("int SSL_read(void) { return 1; }\nint SSL_write(void) { return 1; }\n")
    assert examine(str(compile_c(tmp_path / "lib.so", source, "-shared", "-fPIC"))).names == ()


def test_a_file_that_is_known_by_its_symbols_alone(tmp_path: Path) -> None:
    main = tmp_path / "main.c"
    main.write_text(f'#include "{FAKE_LIBRARY}"\nint main(void) {{ return 0; }}\n')
    path = compile_c(tmp_path / "envoy", main)
    found = examine(str(path))
    assert found.names == ("OpenSSL", "GnuTLS")
    assert {(place.function, place.offset) for place in found.places} == set(offsets(path, "--symbols").items())


def test_go_programs(go_program: Path, stripped_go_program: Path) -> None:
    for path in (go_program, stripped_go_program):
        found = examine(str(path))
        assert found.names == ("Go",)
        assert {place.function for place in found.places} == GO_FUNCTIONS
        for function in GO_FUNCTIONS:
            places = [place for place in found.places if place.function == function]
            assert [place.at_return for place in places] == [False] + [True] * (len(places) - 1)
            assert len(places) > 2


def test_a_go_program_that_does_not_encrypt() -> None:
    assert examine(tool("gofmt", "/usr/local/go/bin/gofmt")).places == ()


def test_a_go_program_of_before_1_18(tmp_path: Path, go_program: Path) -> None:
    path = Path(shutil.copy(go_program, tmp_path))
    with ElfFile(str(path)) as elf:
        section = elf.section(".go.buildinfo")
        assert section is not None
    content = bytearray(path.read_bytes())
    content[section.offset + 15] = 0  # the version is behind a pointer
    path.write_bytes(content)
    with pytest.raises(GoError, match=r"before 1\.18"):
        examine(str(path))


def test_what_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ForeignError):
        examine(__file__)
    with pytest.raises(FileNotFoundError):
        examine(str(tmp_path / "nothing"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        examine(str(tmp_path / "loop"))
