"""The agent's messages on standard error: as text or as JSON, and repeated ones counted instead of written."""

import json
import logging
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

MessageFormat = Literal["text", "json"]

PERIOD: Final = 60.0
"""Seconds after which a message may be written again."""
DIFFERENT: Final = 5
"""Messages of one kind, that is of one place in the program, that may differ within a period."""
KINDS: Final = 256
"""Kinds that are remembered; of more the one that began longest ago is forgotten."""

_Kind = tuple[str, int, str]
"""Logger, level, and the message before anything is filled in."""


@dataclass(slots=True)
class _Repeats:
    """What was written of a kind in its period."""

    began: float
    texts: set[str] = field(default_factory=set)
    withheld: int = 0


class RepeatFilter(logging.Filter):
    """Lets a message pass once a minute, and at most five different ones of the same kind; the others are counted.

    The next message of the kind that passes says how many were withheld before it.

    Attributes:
        seen: messages by level, in lower case.
        withheld: of those, the ones that were not passed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter({"info": 0, "warning": 0, "error": 0})
        self.withheld: Counter[str] = Counter(self.seen)
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: OrderedDict[_Kind, _Repeats] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a message; one that is written has the attribute `withheld`."""
        level = record.levelname.lower()
        kind = (record.name, record.levelno, str(record.msg))
        text = record.getMessage()
        with self._lock:
            self.seen[level] += 1
            repeats = self._kinds.get(kind)
            record.withheld = 0
            if repeats is None or self._clock() - repeats.began >= PERIOD:
                record.withheld = repeats.withheld if repeats else 0
                self._kinds[kind] = repeats = _Repeats(self._clock())
                self._kinds.move_to_end(kind)
                if len(self._kinds) > KINDS:
                    self._kinds.popitem(last=False)
            if text in repeats.texts or len(repeats.texts) >= DIFFERENT:
                repeats.withheld += 1
                self.withheld[level] += 1
                return False
            repeats.texts.add(text)
            return True


class TextFormatter(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a trace follows it."""
        before = f"pyrover-agent: {record.levelname.lower()}: "
        text = super().format(record)
        withheld = getattr(record, "withheld", 0)
        return before + text + (f" ({withheld:,} more of this kind were not written)" if withheld else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`; `withheld` and `trace` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if withheld := getattr(record, "withheld", 0):
            entry["withheld"] = withheld
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class Messages:
    """Where the messages of the program go."""

    def __init__(self, message_format: MessageFormat, stream: TextIO | None = None) -> None:
        """Write to `stream`, by default standard error."""
        self.repeats = RepeatFilter()
        self._handler = logging.StreamHandler(stream or sys.stderr)
        self._handler.addFilter(self.repeats)
        self.use(message_format)

    def use(self, message_format: MessageFormat) -> None:
        """Write in this form from now on."""
        self._format = message_format
        self._handler.setFormatter(JsonFormatter() if message_format == "json" else TextFormatter())

    @property
    def stream(self) -> TextIO:
        """Where they go."""
        return self._handler.stream

    @property
    def for_people(self) -> bool:
        """Whether they are text, not objects for programs."""
        return self._format == "text"

    @contextmanager
    def taken(self, level: int = logging.INFO) -> Iterator[None]:
        """Take the messages of all loggers meanwhile, from a level on."""
        root = logging.getLogger()
        before = root.level
        root.addHandler(self._handler)
        root.setLevel(level)
        try:
            yield
        finally:
            root.removeHandler(self._handler)
            root.setLevel(before)

    def say(self, text: str) -> None:
        """Write what a user asked for: as it is, or as an object of its own for each line."""
        stream = self._handler.stream
        if self._format == "text":
            stream.write(f"{text}\n")
        else:
            for line in text.splitlines():
                record = logging.LogRecord("agent", logging.INFO, __file__, 0, line, None, None)
                stream.write(f"{self._handler.format(record)}\n")
        stream.flush()

    def fail(self, text: str) -> int:
        """Say why the program ends; returns its exit status."""
        record = logging.LogRecord("agent", logging.ERROR, __file__, 0, text, None, None)
        line = f"pyrover-agent: {text}" if self._format == "text" else self._handler.format(record)
        self._handler.stream.write(f"{line}\n")
        return 1
