"""The commands that pages show: where they stand, and what they are expected to print.

A block of commands is fenced as `sh` (a script) or `console` (lines after `$ ` are commands, others are what they
print; `...` stands for anything). A comment on the line before the fence says what is special:

    <!-- not run: the reason why not -->
    <!-- status: 1 -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("vagrant/*.md")])
PROMPT = "$ "
BEGINS_A_COMMAND = re.compile(
    r"^\s*([A-Z_]+=\S+ )*(\$ |(sudo|make|kubectl|helm|vagrant|podman|curl|swctl|git|python3?|pyrover-(agent|backend)"
    r"|\.venv/bin/\S+|scripts/\S+) )"
)

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_REMARK = re.compile(r"^\s*<!-- (not run|status): (.+) -->$")


@dataclass(frozen=True)
class Command:
    """One command of a block, with what the page shows of its output."""

    text: str
    shown: str


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str
    reason: str = ""
    """Why it is not run; empty when it is."""
    status: int = 0
    """What its last command ends with."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def has_commands(self) -> bool:
        return self.language in {"sh", "console"}

    @property
    def commands(self) -> list[Command]:
        """In order; a script is one command that shows nothing."""
        if self.language == "sh":
            return [Command(self.text, "")]
        commands: list[Command] = []
        for part in re.split(r"^(?=\$ )", self.text, flags=re.MULTILINE):
            if part.startswith(PROMPT):
                lines = part.removeprefix(PROMPT).splitlines(keepends=True)
                end = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\\n"))
                commands.append(Command("".join(lines[:end]), "".join(lines[end:])))
        return commands

    @property
    def needs_the_kernel(self) -> bool:
        """Whether it attaches programs to the kernel."""
        return bool(re.search(r"^(\$ )?(sudo |pyrover-agent (run|record|doctor))", self.text, re.MULTILINE))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        if fence := _FENCE.match(lines[number]):
            begin = number + 1
            number = next(at for at in range(begin, len(lines)) if lines[at].strip() == "```")
            indent = len(fence.group(1))
            text = "".join(f"{line[indent:]}\n" for line in lines[begin:number])
            before = next((line for line in reversed(lines[: begin - 1]) if line.strip()), "")
            kind, said = found.groups() if (found := _REMARK.match(before)) else ("", "")
            reason, status = said if kind == "not run" else "", int(said) if kind == "status" else 0
            yield Block(page, begin, fence.group(2), text, reason, status)
        number += 1


def outside_of_fences(page: Path) -> Iterator[tuple[int, str]]:
    """The other lines of a page, with their numbers."""
    fenced = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.strip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


BLOCKS = [block for page in PAGES for block in blocks(page)]
