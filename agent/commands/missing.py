"""What the access logs of this machine lack, as a list for people."""

import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TextIO

PLAIN_WIDTH: Final = 96
"""Characters of a line where nobody says how wide it may be."""
_NARROWEST: Final = 60
_WIDEST: Final = 120
_FIELD: Final = re.compile(r"(?P<group>\w+(?:\.\w+)+)\.(?P<field>\w+)")


def width_of(stream: TextIO) -> int:
    """Characters of a line of a stream: those of its terminal within reason, and PLAIN_WIDTH elsewhere."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # not a terminal, or no descriptor at all
        return PLAIN_WIDTH
    return min(max(columns, _NARROWEST), _WIDEST) if columns else PLAIN_WIDTH


def grouped(lost: Iterable[str]) -> list[str]:
    """The same with all fields of one message together: first the messages, then what is not a field.

    Args:
        lost: What hooks say is lost without them (Hook.lost); a field by its path, such as
            "kernelLogs.write.l3Metrics.totalDuration", or words.
    """
    fields: dict[str, list[str]] = {}
    words = []
    for text in lost:
        if match := _FIELD.fullmatch(text):
            fields.setdefault(match["group"], []).append(match["field"])
        else:
            words.append(text)
    return [*(f"{group}: {', '.join(names)}" for group, names in fields.items()), *words]


def listed(lost: Sequence[str], width: int) -> Iterator[str]:
    """Lines of a list of what is lost, none over `width` characters."""
    for text in grouped(lost):
        yield from textwrap.wrap(text, width, initial_indent="  - ", subsequent_indent="    ")
