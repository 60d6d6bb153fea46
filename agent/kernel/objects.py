"""Compiled programs and the maps they name: what the compiler makes, and what is kept of it for the next start.

Runs in the distribution's Python as well: standard library only.

The compiler (BCC) makes maps while it compiles and leaves their descriptors in the instructions. Here they become names
again, so that an object can be loaded any number of times, with maps of any size, by another process: compiling is nine
tenths of a start, and the same text gives the same object. An object is kept under a digest of its text, which contains
the layouts of the kernel's structs: another kernel, another object.

Objects are loaded into the kernel by root, so the folder must belong to the user who starts the agent and be closed to
all others; otherwise it is not used.
"""

import base64
import hashlib
import json
import os
import stat
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

from agent.kernel import bpf_maps, bpf_programs
from agent.kernel.bpf_maps import MapInformation

KEPT: Final = 32
"""Objects in a folder at most; the oldest go."""

_WIDE_LOAD: Final = 0x18  # BPF_LD | BPF_IMM | BPF_DW
_OF_A_MAP: Final = 1  # BPF_PSEUDO_MAP_FD, in the upper half of the second byte
_IMMEDIATE: Final = struct.Struct("=i")
_IMMEDIATE_AT: Final = 4


@dataclass(frozen=True)
class Function:
    """The instructions of one program."""

    instructions: str
    """Base64; 0 where the descriptor of a map belongs."""
    maps: tuple[tuple[int, str], ...]
    """Which instructions name which map."""

    @classmethod
    def of(cls, instructions: bytes, names: Mapping[int, str]) -> Self:
        """Take the descriptors of maps out of instructions.

        Args:
            instructions: As the compiler leaves them.
            names: Names of maps by descriptor.
        """
        code = bytearray(instructions)
        maps = []
        for at in range(0, len(code), bpf_programs.INSTRUCTION_BYTES):
            if code[at] == _WIDE_LOAD and code[at + 1] >> 4 == _OF_A_MAP:
                (descriptor,) = _IMMEDIATE.unpack_from(code, at + _IMMEDIATE_AT)
                maps.append((at // bpf_programs.INSTRUCTION_BYTES, names[descriptor]))
                _IMMEDIATE.pack_into(code, at + _IMMEDIATE_AT, 0)
        return cls(base64.b64encode(code).decode(), tuple(maps))

    def bound_to(self, descriptors: Mapping[str, int]) -> bytes:
        """The instructions with the descriptors of these maps."""
        code = bytearray(base64.b64decode(self.instructions))
        for position, name in self.maps:
            _IMMEDIATE.pack_into(code, position * bpf_programs.INSTRUCTION_BYTES + _IMMEDIATE_AT, descriptors[name])
        return bytes(code)


@dataclass(frozen=True)
class CompiledObject:
    """Everything that one text compiles to."""

    maps: Mapping[str, MapInformation]
    functions: Mapping[str, Function]

    def create_maps(self, entries: Mapping[str, int]) -> dict[str, int]:
        """Make every map, those in `entries` of that size; descriptors by name.

        Raises:
            OSError: The kernel refused.
        """
        return {
            name: bpf_maps.create_map(replace(shape, entries=entries.get(name, shape.entries)))
            for name, shape in self.maps.items()
        }


def digest(text: str, compiler: str) -> str:
    """What an object is kept under: the text that was compiled, and what compiled it."""
    return hashlib.sha256(f"{compiler}\0{text}".encode()).hexdigest()


class ObjectFolder:
    """Objects of earlier starts, in a folder. What cannot be read or written is as if it were not there."""

    def __init__(self, folder: Path | None) -> None:
        """Use `folder`, or keep nothing."""
        self._folder = folder if folder and self._is_ours(folder) else None

    @staticmethod
    def _is_ours(folder: Path) -> bool:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
        except OSError:
            return False
        closed = not stat.S_IMODE(status.st_mode) & 0o077
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and closed

    def find(self, name: str) -> CompiledObject | None:
        """The object kept under a digest."""
        if self._folder is None:
            return None
        try:
            kept = json.loads((self._folder / f"{name}.json").read_text())
            found = CompiledObject(
                {name: MapInformation(**shape) for name, shape in kept["maps"].items()},
                {
                    name: Function(function["instructions"], tuple((at, to) for at, to in function["maps"]))
                    for name, function in kept["functions"].items()
                },
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found

    def keep(self, name: str, made: CompiledObject) -> None:
        """Keep an object under a digest, whole or not at all."""
        if self._folder is None:
            return
        with suppress(OSError):
            # Also what earlier starts have left unfinished: they may have been ended within this.
            kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in kept[KEPT - 1 :]:
                path.unlink()
            with (
                tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as file,
                _removed_if_failed(file.name),
            ):
                json.dump(asdict(made), file)
                file.flush()
                Path(file.name).rename(self._folder / f"{name}.json")


@contextmanager
def _removed_if_failed(path: str) -> Iterator[None]:
    """Remove a file when it cannot be finished: a full disk would not become emptier with each start."""
    try:
        yield
    except BaseException:
        Path(path).unlink()
        raise
