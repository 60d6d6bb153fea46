"""The probes in the libraries and programs that encrypt: which are in place, and why others are not."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from agent.kernel import uprobes
from agent.kernel.hook import Attachment, Convention, SourceKind
from agent.kernel.wrappers import Program
from agent.tls.libraries import Library
from agent.tls.mappings import Identity, Version

LIBRARIES: Final = 256
"""Files that may be watched at the same time; each takes two descriptors, or before Linux 6.6 one or two dozen."""


class Attacher(Protocol):
    """What puts probes into files: `agent.kernel.uprobes.Uprobes`."""

    def attach(self, program: int, path: str, places: Sequence[uprobes.Place], *, at_return: bool = False) -> list[int]:
        """Attach a program to places in a file; descriptors, with which it is detached.

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
    probes: int
    descriptors: tuple[int, ...]


class Probes(NamedTuple):
    """What the kernel has taken, and what not."""

    number: int
    descriptors: tuple[int, ...]
    refusals: Counter[str]
    """By cause."""


class _Way(NamedTuple):
    """How some places of a file are attached to."""

    program: int
    at_return: bool
    """Whether the kernel follows the function to its return. Go's are left at places of their own."""


class Attachments:
    """Probes by the file that they are in. One file has them once, however many processes run it."""

    def __init__(self, programs: Mapping[Program, int], attacher: Attacher, capacity: int = LIBRARIES) -> None:
        """Use the programs of kind UPROBE among `programs`, whose values are descriptors, on `capacity` files."""
        self._attacher = attacher
        self._capacity = capacity
        self._programs: dict[tuple[str, bool], tuple[int, Attachment]] = {
            (attachment.to, attachment.at_return): (descriptor, attachment)
            for program, descriptor in programs.items()
            if program.kind is SourceKind.UPROBE
            for attachment in program.attachments
        }
        self._attached: dict[Identity, Attached] = {}
        self.failures: Counter[str] = Counter()
        """Probes that are not in place, by cause, since the start."""

    @property
    def attached(self) -> Mapping[Identity, Attached]:
        """Every file with probes."""
        return self._attached

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another file."""
        return len(self._attached) >= self._capacity

    def attach(self, path: str, library: Library) -> Probes:
        """Put probes into a file. Where one is refused the others stay.

        Args:
            path: That leads to it now.
            library: What it has.
        """
        descriptors: list[int] = []
        probes = 0
        refusals: Counter[str] = Counter()
        for way, places in self._ways(library).items():
            opened, refused = self._attach(way, path, places)
            descriptors += opened
            probes += len(places) - refused.total()
            refusals += refused
        return Probes(probes, tuple(descriptors), refusals)

    def keep(self, identity: Identity, version: Version, name: str, library: Library, probes: Probes) -> bool:
        """Remember the probes of a file; whether there are any.

        Args:
            identity: Of the file, which had none yet.
            version: Of the file, as it was examined.
            name: To show.
            library: What it has.
            probes: That are in place.
        """
        self.failures += probes.refusals
        if probes.descriptors:
            self._attached[identity] = Attached(
                library.names, name, library.build_id, version, probes.number, probes.descriptors
            )
        return bool(probes.descriptors)

    def _ways(self, library: Library) -> dict[_Way, list[uprobes.Place]]:
        ways: dict[_Way, list[uprobes.Place]] = {}
        for place in library.places:
            program, attachment = self._programs.get((place.function, place.at_return), (None, None))
            if program is None or attachment is None:
                continue  # its hook was declared unavailable, or it has nothing to do there
            way = _Way(program, place.at_return and attachment.convention is Convention.C)
            ways.setdefault(way, []).append(uprobes.Place(place.offset, attachment.cookie))
        return ways

    def _attach(self, way: _Way, path: str, places: list[uprobes.Place]) -> tuple[list[int], Counter[str]]:
        """Descriptors, and the places that were refused: what cannot be had together is tried one by one."""
        try:
            return self._attacher.attach(way.program, path, places, at_return=way.at_return), Counter()
        except OSError as error:
            if len(places) == 1:
                return [], Counter({f"the kernel refuses a probe: {error.strerror or error}": 1})
        results = [self._attach(way, path, [place]) for place in places]
        refused = sum((refused for _, refused in results), Counter[str]())
        return [descriptor for opened, _ in results for descriptor in opened], refused

    def forget(self, identities: Iterable[Identity]) -> list[int]:
        """Let go of some files; the descriptors, which take the probes off when closed. That may take a while."""
        gone = [self._attached.pop(identity) for identity in list(identities) if identity in self._attached]
        return [descriptor for attached in gone for descriptor in attached.descriptors]
