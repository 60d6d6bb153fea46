"""How a block of metrics lies in a DuckDB file: its layout by name, and its sums as bytes.

The layout says where the values of metrics are, as JSON: a list of places, or where a block has labels, the same under
LABELLED. The sums are columns of an Arrow stream (IPC) that is compressed: the number of the entity, that of the label
where there are any, and values that have their places as names.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import polars as pl

from backend.storage.blocks import NO_COUNT, Place

ENTITY = "entity"
MINUTE = "minute"
"""Of sums of several minutes; what is stored is of one."""
LABEL = "label"
LABELLED = "labelled"
_KEYS = frozenset({MINUTE, ENTITY, LABEL})


class Layout(NamedTuple):
    """Where the values of a block are."""

    places: tuple[Place, ...]
    is_labelled: bool
    """Whether each row has a label of its own."""

    @property
    def keys(self) -> list[str]:
        """Columns of sums that are not values."""
        return [ENTITY, LABEL] if self.is_labelled else [ENTITY]

    def only(self, places: Sequence[Place]) -> tuple["Layout", list[str]]:
        """The layout among the columns that some of the places need, and these."""
        used = sorted({at for place in places for at in place[1:] if at != NO_COUNT})
        new = {at: index for index, at in enumerate(used)} | {NO_COUNT: NO_COUNT}
        chosen = tuple(Place(metric, *(new[at] for at in ats)) for metric, *ats in places)
        return Layout(chosen, self.is_labelled), [*self.keys, *(f"{at}" for at in used)]


@lru_cache(256)
def text_of(layout: Layout) -> str:
    """The name of a layout."""
    told = {LABELLED: layout.places} if layout.is_labelled else layout.places
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


@lru_cache(256)
def layout_of(text: str) -> Layout:
    """The layout of a name."""
    told = json.loads(text)
    is_labelled = isinstance(told, dict)
    return Layout(tuple(Place(*place) for place in (told[LABELLED] if is_labelled else told)), is_labelled)


def keys_of(sums: pl.DataFrame) -> list[str]:
    """The columns of sums that are not values."""
    return [name for name in sums.columns if name in _KEYS]


def values_of(sums: pl.DataFrame) -> list[str]:
    """The columns of sums that are values."""
    return [name for name in sums.columns if name not in _KEYS]


def encoded(sums: pl.DataFrame) -> bytes:
    """Sums as bytes."""
    written = BytesIO()
    sums.write_ipc_stream(written, compression="zstd")
    return written.getvalue()


def decoded(stored: bytes, columns: Sequence[str] | None) -> pl.DataFrame:
    """Some columns of sums that were bytes; None for all."""
    return pl.read_ipc_stream(BytesIO(stored), columns=None if columns is None else list(columns))
