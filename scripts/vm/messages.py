"""What a machine tells the one who booted it: lines on its standard output, each a mark and a JSON object.

Whatever else is printed shares that output, so that every other line is passed over.
"""

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Final

MARK: Final = "PYROVER-VM "


class Step(StrEnum):
    """What happened."""

    BEGIN = "begin"
    """A check or test begins."""
    END = "end"
    """It ended."""
    DONE = "done"
    """Everything was run."""


class Outcome(StrEnum):
    """How a check or test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NONE = ""
    """It did not end yet."""


@dataclass(frozen=True)
class Message:
    """One thing that happened in a machine."""

    step: Step
    mode: str = ""
    """How programs are attached."""
    name: str = ""
    """The test's node id, or what was checked."""
    outcome: Outcome = Outcome.NONE
    seconds: float = 0.0
    """Time it took, with its fixtures."""
    text: str = ""
    """What was found; why it failed or was skipped."""


_FIELDS: Final = frozenset(field.name for field in fields(Message))


def write(message: Message) -> str:
    """A line for the machine's standard output. It begins with a line break: others do not always end theirs."""
    return f"\n{MARK}{json.dumps(asdict(message))}\n"


def read(line: str) -> Message | None:
    """The message of a line, or None for any other line and for one that another writer cut in pieces."""
    before, _, text = line.partition(MARK)
    if before:
        return None
    try:
        values = json.loads(text)
        if values.keys() != _FIELDS:
            return None
        return Message(**{**values, "step": Step(values["step"]), "outcome": Outcome(values["outcome"])})
    except (ValueError, AttributeError):
        return None
