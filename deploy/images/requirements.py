"""Prints the pinned requirements of named packages, for the image of a program that does not need all of them.

    python3 deploy/images/requirements.py requirements/runtime.txt deploy/images/agent.txt

Standard library only: it runs in an image.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)==")


def pinned(text: str) -> Iterator[tuple[str, str]]:
    """Each requirement of a file with hashes: its name, and all of its lines."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        lines.append(line)
        if not line.rstrip().endswith("\\"):
            requirement = "".join(lines)
            lines = []
            if match := _REQUIREMENT.match(requirement):
                yield match[1].lower(), requirement


def chosen(text: str, names: str) -> str:
    """The requirements of the packages that are named, a line each.

    Raises:
        SystemExit: one of them is not pinned.
    """
    wanted = {line.strip().lower() for line in names.splitlines() if line.strip() and not line.startswith("#")}
    found = [(name, requirement) for name, requirement in pinned(text) if name in wanted]
    if missing := wanted - {name for name, _ in found}:
        raise SystemExit(f"not pinned: {', '.join(sorted(missing))}; add what depends on it to pyproject.toml and lock")
    return "".join(requirement for _, requirement in found)


if __name__ == "__main__":
    sys.stdout.write(chosen(Path(sys.argv[1]).read_text(), Path(sys.argv[2]).read_text()))
