"""What is mounted, as the kernel lists it for a process (proc_pid_mountinfo(5)); nothing that is mounted is touched."""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(rb"^\d+ \d+ (\d+):(\d+) \S+ (\S+) .*? - (\S+) (\S*) (\S*)$", re.MULTILINE)
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_LAYER_OPTIONS = frozenset((b"lowerdir", b"lowerdir+", b"datadir+", b"upperdir"))
_SEPARATOR = re.compile(rb"(?<!\\134):")
"""Between the layers of one option. A colon of a path has a backslash before it, which the list shows as \\134; kernels
that show the colon itself as \\072 have none."""


class Mount(NamedTuple):
    """A file system at one of its places."""

    device: str
    """As /proc/PID/maps has it: "fe:00"."""
    place: str
    """As the process sees it."""
    kind: str
    source: str
    """What the one who mounted it named, such as a server and its folder."""
    options: bytes
    """Of the file system, as listed."""

    def layers(self) -> Iterator[str]:
        """The folders that an overlay was made of, as the one who mounted it named them."""
        for option in self.options.split(b","):
            name, _, value = option.partition(b"=")
            if name in _LAYER_OPTIONS:
                for layer in filter(None, _SEPARATOR.split(value)):
                    yield _plain(layer).replace("\\", "")


class Mounts:
    """What one process sees."""

    def __init__(self, text: bytes = b"") -> None:
        """Understand a list."""
        mounts = [
            Mount(shown(int(major), int(minor)), _plain(place), kind.decode(), _plain(source), options)
            for major, minor, place, kind, source, options in _LINE.findall(text)
        ]
        self.by_device = {mount.device: mount for mount in reversed(mounts)}
        """Each file system where it was mounted first."""
        self._by_place = {mount.place: mount for mount in mounts}  # the later one hides what was there

    @classmethod
    def of(cls, root: str, process: int) -> "Mounts":
        """What a process sees; nothing where that cannot be read. `root` is where /proc is."""
        try:
            return cls(Path(root, str(process), "mountinfo").read_bytes())
        except OSError:
            return cls()

    def holding(self, path: str) -> Mount | None:
        """The file system that a path leads into; None where it leads into none of these, as a relative one does.

        The path is taken as it is written: symbolic links are not followed, as that would touch them.
        """
        if not path.startswith("/"):
            return None
        path = posixpath.normpath(path)
        while path != "/" and path not in self._by_place:
            path = posixpath.dirname(path)
        return self._by_place.get(path)


def shown(major: int, minor: int) -> str:
    """The number of a device as /proc/PID/maps has it."""
    return f"{major:02x}:{minor:02x}"


def _plain(listed: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), listed))
