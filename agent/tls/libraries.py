"""What in a file is to be watched: the functions of OpenSSL and its relatives, of GnuTLS, and of Go's crypto/tls.

A file is known by what it defines, not by its name: programs have libraries built in, and packages rename theirs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from agent.kernel.hook import Convention
from agent.kernel.tls_hooks import TLS_HOOKS
from agent.tls.elf import ElfFile
from agent.tls.go import GoError, find_go_functions, go_version
from agent.tls.symbols import executable_offsets, find_functions

_OLDEST_GO: Final = (1, 18)


def _functions(convention: Convention) -> frozenset[str]:
    return frozenset(
        attachment.to
        for hook in TLS_HOOKS
        for source in hook.sources
        for attachment in source.attachments
        if attachment.convention is convention
    )


C_FUNCTIONS: Final = _functions(Convention.C)
GO_FUNCTIONS: Final = _functions(Convention.GO)

_MARKS: Final = {
    # libgnutls-openssl imitates some of these with calls of GnuTLS, which are watched themselves.
    "OpenSSL": frozenset(("SSL_read", "SSL_write", "SSL_do_handshake", "SSL_free")),
    "GnuTLS": frozenset(("gnutls_record_recv", "gnutls_record_send", "gnutls_handshake", "gnutls_deinit")),
}
"""What a file must define to be taken for a library. BoringSSL and LibreSSL count as OpenSSL."""
_PREFIX: Final = {"OpenSSL": "SSL_", "GnuTLS": "gnutls_"}


@dataclass(frozen=True, slots=True)
class Place:
    """An instruction where a function of interest is entered, or left."""

    function: str
    offset: int
    """In the file. Where `at_return`, of the function's first instruction, except for Go: of a return instruction."""
    at_return: bool


@dataclass(frozen=True)
class Library:
    """What a file has."""

    names: tuple[str, ...]
    """Of the libraries in it; empty when there is none."""
    places: tuple[Place, ...]
    build_id: str


def examine(path: str) -> Library:
    """Look for functions that encrypt in a program or library.

    Raises:
        OSError: The file cannot be opened.
        ElfError: It is no program or library, or damaged.
        GoError: A Go program whose functions cannot be found.
    """
    with ElfFile(path) as elf:
        found = find_functions(elf, C_FUNCTIONS)
        names = [name for name, marks in _MARKS.items() if marks <= found.keys()]
        places = [place for name in names for place in _places_of(elf, found, _PREFIX[name])]
        go = _go_places(elf)
        if go:
            names.append("Go")
        return Library(tuple(names), (*places, *go), elf.build_id if names or go else "")


def _places_of(elf: ElfFile, found: Mapping[str, Collection[int]], prefix: str) -> list[Place]:
    return [
        Place(name, offset, at_return)
        for name in sorted(found)
        if name.startswith(prefix)
        for offset in executable_offsets(elf, found[name])
        for at_return in (False, True)
    ]


def _go_places(elf: ElfFile) -> list[Place]:
    version = go_version(elf)
    if version is None:
        return []
    if version < _OLDEST_GO:
        raise GoError("built with a version of Go before 1.18")
    places = []
    for name, function in sorted(find_go_functions(elf, GO_FUNCTIONS).items()):
        places.append(Place(name, function.entry, at_return=False))
        places += [Place(name, offset, at_return=True) for offset in function.returns]
    return places
