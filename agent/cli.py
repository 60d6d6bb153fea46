"""The `pyrover-agent` command."""

import os
import sys
from collections.abc import Sequence

from common.command_line import run_program

COMMANDS = {
    "run": "Capture the network calls of this machine and stream them to the backend.",
    "record": "Record kernel events to a file that `pyrover-agent replay` can play again.",
    "replay": "Play a recording of kernel events again: the same access logs every time.",
    "doctor": "Show what this machine offers to the agent, what would be watched and what would be missed.",
}
"""Modules of agent/commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    # NumPy's library for linear algebra, of which nothing is used, would start a thread for each processor.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    description = "Watch the network calls of every process on this machine and stream them as access logs."
    return run_program("pyrover-agent", description, "agent.commands", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
