"""The layout of recorded events, as a recording's header states it, and how older ones are read.

A layout grows: fields are added, none changes its meaning. So a recording says which fields its events have, and the
ones that it does not know of are 0.
"""

from collections.abc import Iterator

import numpy as np

from agent.events.layout import EVENT, Events

Layout = tuple[tuple[str, str], ...]
"""Names and numpy types of an event's fields, in their order; those within another one as "outer.inner"."""


class LayoutError(Exception):
    """Events of that layout cannot be read by this version."""


def event_layout() -> Layout:
    """The layout of this version's events."""
    return tuple((name, _kind(field)) for name, field in _fields(EVENT, ""))


class RecordedLayout:
    """Reads events of one layout."""

    def __init__(self, layout: Layout) -> None:
        """Compare a layout with this version's.

        Raises:
            LayoutError: it has a field twice, or one that this version does not have, or not of that type.
        """
        known = dict(_fields(EVENT, ""))
        for name, kind in layout:
            if name not in known or _kind(known[name]) != kind:
                raise LayoutError(f"its field {name} is not known, or not as {kind}")
        if len(dict(layout)) < len(layout):
            raise LayoutError("it names a field twice")
        self._recorded = np.dtype([(name, known[name]) for name, _ in layout])
        self._is_current = layout == event_layout()

    @property
    def itemsize(self) -> int:
        """Bytes of one recorded event."""
        return self._recorded.itemsize

    def read(self, data: bytes) -> Events:
        """The events in some bytes, whose number is a multiple of `itemsize`."""
        if self._is_current:
            return np.frombuffer(data, dtype=EVENT)
        recorded = np.frombuffer(data, dtype=self._recorded)
        events = np.zeros(len(recorded), dtype=EVENT)
        for name in self._recorded.names or ():
            target = events
            for part in name.split("."):
                target = target[part]
            target[...] = recorded[name]
        return events


def _fields(structure: np.dtype[np.void], prefix: str) -> Iterator[tuple[str, np.dtype[np.generic]]]:
    """Name and type of each field that has none within it."""
    for name in structure.names or ():
        field = structure[name]
        if field.names:
            yield from _fields(field, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _kind(field: np.dtype[np.generic]) -> str:
    """A field's type, such as "<u8", or "|u1[16]" for an array."""
    return f"{field.base.str}{list(field.shape) or ''}"
