"""The live line of `run`: what the agent is doing right now."""

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

_TERMINAL_SECONDS = 0.8  # which is each second: there is a step each second
_PLAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the agent has done so far."""

    events: int
    """Taken from the ring."""
    connections: int
    """Being followed at the moment."""
    captured: int
    """Logs made of the events."""
    delivered: int
    """Logs the backend has answered for."""
    waiting: int
    """Logs on their way."""
    losses: Mapping[str, int]
    """Events and logs lost, by cause."""
    incomplete: Mapping[str, int]
    """Logs that lack something, by what they lack."""
    troubles: Mapping[str, int]
    """What went wrong on connections, and how often."""
    problem: str
    """Why the last attempt to deliver failed; empty when it did not."""


def format_figures(figures: Figures, rate: float) -> str:
    """The line."""
    parts = [
        f"{rate:,.0f} events/s",
        f"{figures.connections:,} connections",
        f"{figures.delivered:,} logs sent",
        f"{figures.waiting:,} waiting",
    ]
    if losses := format_counts(figures.losses):
        parts.append(f"lost: {losses}")
    if incomplete := format_counts(figures.incomplete):
        parts.append(f"incomplete: {incomplete}")
    if troubles := format_counts(figures.troubles):
        parts.append(troubles)
    if figures.problem:
        parts.append(figures.problem)
    return " | ".join(parts)


def format_counts(counts: Mapping[str, int]) -> str:
    """What is not zero; empty when everything is."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def format_end(figures: Figures, reasons: Iterable[str] = ()) -> str:
    """What became of everything, in one line; then a line for each reason why logs were not delivered."""
    parts = [f"{figures.captured:,} logs captured", f"{figures.delivered:,} delivered"]
    if figures.waiting:
        parts.append(f"{figures.waiting:,} kept for the next start")
    if losses := format_counts(figures.losses):
        parts.append(f"lost: {losses}")
    return "\n".join([", ".join(parts), *reasons])


class LiveLine:
    """Refreshes one line on a terminal every second; elsewhere writes a line every ten seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream = stream or sys.stdout
        self._terminal = stream.isatty()
        self._shown = time.monotonic()
        self._events = 0

    def due(self) -> bool:
        """True when it is time to show new figures."""
        return time.monotonic() - self._shown >= (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS)

    def show(self, figures: Figures) -> None:
        """Show figures; the rate is that since the last time."""
        now = time.monotonic()
        rate = (figures.events - self._events) / max(now - self._shown, 1e-9)
        self._shown, self._events = now, figures.events
        text = format_figures(figures, rate)
        self._stream.write(f"\r\x1b[2K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()
