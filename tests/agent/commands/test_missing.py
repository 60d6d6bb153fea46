"""agent/commands/missing.py: how it is told what the access logs lack."""

import fcntl
import io
import os
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.missing import PLAIN_WIDTH, grouped, listed, width_of
from agent.kernel.hooks import HOOKS

LOST = (
    "kernelLogs.write.l3Metrics.totalDuration",
    "zero windows sent",
    "kernelLogs.read.l3Metrics.totalDuration",
    "kernelLogs.write.l3Metrics.totalLocalDuration",
    "kernelLogs.close of sockets that dup2 replaces",
)


def test_fields_of_a_message_stand_together_and_the_rest_follows() -> None:
    assert grouped(LOST) == [
        "kernelLogs.write.l3Metrics: totalDuration, totalLocalDuration",
        "kernelLogs.read.l3Metrics: totalDuration",
        "zero windows sent",
        "kernelLogs.close of sockets that dup2 replaces",
    ]


def test_nothing_lost_is_no_lines() -> None:
    assert grouped(()) == []
    assert list(listed((), 80)) == []


@given(st.lists(st.sampled_from([text for hook in HOOKS for text in hook.lost]), unique=True), st.integers(60, 120))
def test_every_word_is_told_once_and_no_line_is_too_long(lost: list[str], width: int) -> None:
    lines = list(listed(lost, width))
    assert all(len(line) <= width for line in lines)
    told = " ".join(" ".join(lines).replace("  - ", "\n").split(" ")).split("\n")[1:]
    again = []
    for item in (" ".join(text.split()) for text in told):
        group, colon, names = item.partition(": ")
        again += [f"{group}.{name}" for name in names.split(", ")] if colon else [item]
    assert sorted(again) == sorted(lost)


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    controller, user = os.openpty()
    with os.fdopen(controller, "rb"), os.fdopen(user, "w") as stream:
        yield stream


@pytest.mark.parametrize(("columns", "width"), [(80, 80), (120, 120), (20, 60), (300, 120), (0, PLAIN_WIDTH)])
def test_lines_are_as_wide_as_the_terminal(terminal: TextIO, columns: int, width: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    assert width_of(terminal) == width


def test_lines_of_a_file_and_of_text_in_memory_have_the_usual_width(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert width_of(file) == PLAIN_WIDTH
    assert width_of(io.StringIO()) == PLAIN_WIDTH
