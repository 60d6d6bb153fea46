"""Writes the declared system calls as a profile for container engines, and into the unit for systemd.

    .venv/bin/python -m deploy.seccomp.render

A test makes both again and compares.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.seccomp.calls import CALLS

DEPLOY: Final = Path(__file__).resolve().parent.parent
PROFILE: Final = DEPLOY / "seccomp" / "pyrover-agent.json"
UNIT: Final = DEPLOY / "systemd" / "pyrover-agent.service"

_EPERM: Final = 1
_WIDTH: Final = 90
_FILTER: Final = re.compile(r"(?:^SystemCall\w+=.*\n)+", re.MULTILINE)


def profile() -> str:
    """The profile, in the form that container engines read."""
    content = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": list(CALLS), "action": "SCMP_ACT_ALLOW"}],
    }
    return json.dumps(content, indent=2) + "\n"


def unit(text: str) -> str:
    """A unit with the filter in place of the one that it has.

    Raises:
        ValueError: it has none, or several.
    """
    made, count = _FILTER.subn("".join(f"{line}\n" for line in _filter()), text)
    if count != 1:
        raise ValueError(f"the unit has {count} groups of lines SystemCall...=, and should have one")
    return made


def _filter() -> Iterator[str]:
    yield "SystemCallArchitectures=native"
    yield "SystemCallErrorNumber=EPERM"
    for line in textwrap.wrap(" ".join(CALLS), _WIDTH, break_on_hyphens=False):
        yield f"SystemCallFilter={line}"


def main() -> None:
    """Write both."""
    PROFILE.write_text(profile())
    UNIT.write_text(unit(UNIT.read_text()))


if __name__ == "__main__":
    main()
