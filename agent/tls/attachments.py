"""The probes in the libraries and programs that encrypt: which are in place, and why others are not."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from agent.kernel.hook import SourceKind
from agent.kernel.wrappers import Program
from agent.tls.libraries import Library
from agent.tls.mappings import Identity, Version

LIBRARIES: Final = 256
"""Files that may be watched at the same time; each takes one to two dozen descriptors."""


class Attacher(Protocol):
    """What puts probes into files: `agent.kernel.uprobes.Uprobes`."""

    def attach(self, program: int, path: str, offset: int, *, at_return: bool = False) -> int:
        """Attach a program; a descriptor, with which it is detached.

        Raises:
            OSError: The kernel refused.
        """


@dataclass(frozen=True)
class Attached:
    """A file with probes."""

    names: tuple[str, ...]
    """Of the libraries in it."""
    path: str
    """Where it was found first."""
    build_id: str
    version: Version
    descriptors: tuple[int, ...]


class Attachments:
    """Probes by the file that they are in. One file has them once, however many processes run it."""

    def __init__(self, programs: Mapping[Program, int], attacher: Attacher, capacity: int = LIBRARIES) -> None:
        """Use the programs of kind UPROBE among `programs`, whose values are descriptors, on `capacity` files."""
        self._attacher = attacher
        self._capacity = capacity
        self._programs: dict[tuple[str, bool], int] = {}
        self._is_go: dict[str, bool] = {}
        for program, descriptor in programs.items():
            if program.kind is SourceKind.UPROBE:
                for attachment in program.attachments:
                    self._programs[attachment.to, attachment.at_return] = descriptor
                    self._is_go[attachment.to] = attachment.convention.value == "go"
        self._attached: dict[Identity, Attached] = {}
        self.failures: Counter[str] = Counter()
        """Probes that are not in place, by cause, since the start."""

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._attached

    @property
    def attached(self) -> Mapping[Identity, Attached]:
        """Every file with probes."""
        return self._attached

    def add(self, identity: Identity, version: Version, path: str, name: str, library: Library) -> None:
        """Put probes into a file. Where one is refused the others stay.

        Args:
            identity: Of the file, which has none yet.
            version: Of the file, as it was examined.
            path: That leads to it now.
            name: To show.
            library: What it has.
        """
        if len(self._attached) >= self._capacity:
            self.failures["too many libraries and programs"] += 1
            return
        descriptors = []
        for place in library.places:
            program = self._programs.get((place.function, place.at_return))
            if program is None:
                continue  # its hook was declared unavailable
            at_return = place.at_return and not self._is_go[place.function]
            try:
                descriptors.append(self._attacher.attach(program, path, place.offset, at_return=at_return))
            except OSError as error:
                self.failures[f"the kernel refuses a probe: {error.strerror or error}"] += 1
        if descriptors:
            self._attached[identity] = Attached(library.names, name, library.build_id, version, tuple(descriptors))

    def remove(self, identity: Identity) -> None:
        """Take a file's probes off."""
        attached = self._attached.pop(identity, None)
        if attached:
            for descriptor in attached.descriptors:
                os.close(descriptor)

    def remove_all(self, identities: Iterable[Identity]) -> None:
        """Take the probes of several files off."""
        for identity in list(identities):
            self.remove(identity)
